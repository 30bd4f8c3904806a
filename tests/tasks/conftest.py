"""What tests of tasks share: rows in the hub's schema, laid where a fetch would have left them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.api.types import HubData


@pytest.fixture
def lay_on_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[HubData, str, Sequence[Mapping[str, Any]]], str]:
    """Write rows as the Parquet file of a split at a pinned commit of the cache; returns the commit."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("HARNESS_CACHE", str(cache))

    def lay(hub: HubData, split: str, rows: Sequence[Mapping[str, Any]]) -> str:
        import pyarrow
        from pyarrow import parquet

        commit = hub.revision or "0123456789abcdef0123456789abcdef01234567"
        folder = cache.joinpath(
            "hub", hub.id.replace("/", "--"), commit.replace("/", "--"), hub.config or "default", split
        )
        folder.mkdir(parents=True)
        (cache / "hub-pins.json").write_text(json.dumps({hub.id: commit}), encoding="utf-8")
        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), folder / f"{split}.parquet")
        return commit

    return lay
