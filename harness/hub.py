"""How a data set of the Hugging Face hub becomes a local file at a pinned commit, so that later runs need no network.

A commit that the data set's own pin leaves open is resolved once, at the first fetch, and recorded in the cache; from
then on that commit is used. Tables are kept as Parquet, other data as the file itself. No remote code runs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.api.errors import DataError
from harness.api.types import Dataset, HubData
from harness.boundary import ForeignError, foreign
from harness.cache import cache_root, folder_once, write_whole

OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


def stay_offline() -> None:
    """Keep every Hugging Face library of this process from the network; before they are imported."""
    for name in (*OFFLINE, "HF_HUB_DISABLE_TELEMETRY"):
        os.environ[name] = "1"


def go_online() -> None:
    """Let the Hugging Face libraries use the network; before they are imported."""
    for name in OFFLINE:
        os.environ[name] = "0"


def pin(hub: HubData) -> str | None:
    """The commit to use: the data set's own, else the one recorded on this machine, else None."""
    return hub.revision or _pins().get(hub.id)


def fetched(dataset: Dataset, split: str) -> Path | None:
    """The split's local copy at the pinned commit, if an earlier fetch left one."""
    commit = pin(dataset.hub) if dataset.hub else None
    if dataset.hub is None or commit is None or split not in dataset.hub.splits:
        return None
    folder = _folder(dataset.hub, split, commit)
    return next((path for path in folder.iterdir() if path.is_file()), None) if folder.is_dir() else None


def fetch(dataset: Dataset, split: str, announce: Callable[[str], None]) -> Path:
    """The split's local copy, downloaded at the pinned commit if it is not there yet; uses the network."""
    hub = dataset.hub
    if hub is None or split not in hub.splits:
        raise DataError(f"data set {dataset.name}: the hub has no counterpart of its split {split!r}.")
    commit = pin(hub)
    if commit is None:
        commit = _current_commit(hub)
        write_whole(_pin_file(), json.dumps({**_pins(), hub.id: commit}, indent=1, sort_keys=True))
        announce(f"{hub.id}: pinned to its current commit {commit} on this machine")
    found = fetched(dataset, split)
    if found is not None:
        return found
    announce(
        f"downloading {hub.id} ({hub.splits[split]}) at {commit[:12]} from the hub, licence {dataset.licence or '?'}"
    )
    folder = folder_once(_folder(hub, split, commit), lambda scratch: _download(dataset, split, commit, scratch))
    return next(path for path in folder.iterdir() if path.is_file())


def column(row: Any, path: str) -> Any:
    """A cell by its hub column, whose dots reach into nested objects (`translation.en`)."""
    for part in path.split("."):
        row = row[part]
    return row


def _download(dataset: Dataset, split: str, commit: str, scratch: Path) -> None:
    assert dataset.hub is not None
    with _reaching(dataset.hub):
        if dataset.columns:
            _table(dataset.hub, split, commit).to_parquet(str(scratch / f"{split}.parquet"))
        else:
            shutil.copyfile(_file(dataset.hub, split, commit), scratch / Path(dataset.hub.splits[split]).name)


def _current_commit(hub: HubData) -> str:
    from huggingface_hub import HfApi

    with _reaching(hub):
        return str(HfApi().dataset_info(hub.id).sha)


@contextmanager
def _reaching(hub: HubData) -> Iterator[None]:
    """Whatever the hub's client raises is one line: it has a type of its own for each way in which a network fails."""
    try:
        with foreign(hub.id):
            yield
    except ForeignError as problem:
        cause = problem.__cause__
        lines = str(cause).strip().splitlines()
        reason = lines[0] if lines else type(cause).__name__
        raise DataError(
            f"{hub.id} could not be fetched from the Hugging Face hub: {reason.rstrip('.')}. Try again where the "
            "hub can be reached, or use your own files with --own."
        ) from cause


def _table(hub: HubData, split: str, commit: str) -> Any:
    from datasets import load_dataset

    return load_dataset(hub.id, hub.config or None, split=hub.splits[split], revision=commit)


def _file(hub: HubData, split: str, commit: str) -> str:
    from huggingface_hub import hf_hub_download

    return str(hf_hub_download(hub.id, hub.splits[split], repo_type="dataset", revision=commit))


def _folder(hub: HubData, split: str, commit: str) -> Path:
    parts = [part.replace("/", "--") for part in (hub.id, commit, hub.config or "default", split)]
    return cache_root().joinpath("hub", *parts)


def _pin_file() -> Path:
    return cache_root() / "hub-pins.json"


def _pins() -> dict[str, str]:
    try:
        pins = json.loads(_pin_file().read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, RecursionError) as problem:
        raise _damaged_pins(str(problem)) from problem
    if not isinstance(pins, dict) or not all(isinstance(commit, str) for commit in pins.values()):
        raise _damaged_pins("it is no table of commits")
    return pins


def _damaged_pins(reason: str) -> DataError:
    return DataError(f"{_pin_file()} is damaged ({reason}); delete it to pin the hub's data sets anew.")
