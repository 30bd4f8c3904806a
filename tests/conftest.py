"""Fixtures that every room may use: the data folder or a skip with the reason, an own cache, tiny sources."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.api.types import DataFile, Dataset
from harness.sources import DataSources, data_root

# a worker of pytest-xdist that spawns threads of its own makes two cores slower, not faster
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
# triton decides at its first import, by whichever test comes first, whether its interpreter stands in for a GPU
if shutil.which("nvidia-smi") is None:
    os.environ.setdefault("TRITON_INTERPRET", "1")

# `from damage import damaged_bytes, damaged_json`, for the fuzz test of any reader
sys.path.append(str(Path(__file__).parent / "fuzz"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and no network, so that nothing depends on what the machine keeps."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HARNESS_CACHE", str(folder))
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.delenv("HARNESS_SOURCE", raising=False)
    return folder


@pytest.fixture
def data_folder() -> Path:
    """The real data folder; skips where it is absent."""
    root = data_root()
    if root is None:
        pytest.skip("no data folder: set HARNESS_DATA, or put it at ../shared/data")
    return root


@pytest.fixture
def real_sources(data_folder: Path) -> DataSources:
    """Sources over the real data folder; skips where it is absent."""
    return DataSources(data_folder, online=False)


@pytest.fixture
def no_data() -> DataSources:
    """Sources of a bare machine: no data folder, no network."""
    return DataSources(None, online=False)


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Callable[..., tuple[Dataset, DataSources]]:
    """Build a data set of one split from rows: `dataset, sources = tiny_dataset([{"text": "a"}])`."""

    def build(rows: list[dict[str, Any]], split: str = "test") -> tuple[Dataset, DataSources]:
        root = tmp_path / "data"
        file = root / "tiny" / f"{split}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        pin = DataFile(f"tiny/{split}.jsonl", hashlib.sha256(file.read_bytes()).hexdigest())
        columns = tuple(rows[0]) if rows else ()
        return Dataset("tiny", {split: pin}, columns=columns), DataSources(root, online=False)

    return build
