"""Is a device named and resolved alike, whether or not torch has been imported?"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import devices
from harness.api.errors import UsageError


def test_the_processor_needs_no_name() -> None:
    assert devices.name("cpu") == ""
    assert devices.resolve("cpu") == "cpu"


def test_the_driver_names_the_accelerator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = tmp_path / "gpus" / "0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 12\n", encoding="utf-8")
    monkeypatch.setattr(devices, "NVIDIA", tmp_path / "version")
    assert devices.name("cuda") == "NVIDIA H100 80GB HBM3"


def test_no_driver_means_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "NVIDIA", tmp_path / "version")
    assert devices.name("cuda") == ""


def test_a_device_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_cuda_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA device"):
        devices.resolve("cuda")
    assert devices.resolve("auto") == "cpu"
