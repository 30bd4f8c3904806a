"""How a data set of the Hugging Face hub becomes a local file at a pinned commit, so that later runs need no network.

A commit that the data set's own pin leaves open is resolved once, at the first fetch, and recorded in the cache; from
then on that commit is used. Tables are kept as Parquet, other data as the file itself. No remote code runs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.api.errors import DataError
from harness.api.types import Dataset, HubData
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
    try:
        if dataset.columns:
            _table(dataset.hub, split, commit).to_parquet(str(scratch / f"{split}.parquet"))
        else:
            shutil.copyfile(_file(dataset.hub, split, commit), scratch / Path(dataset.hub.splits[split]).name)
    except (OSError, ValueError, ConnectionError) as problem:
        raise _unreachable(dataset.hub, problem) from problem


def _current_commit(hub: HubData) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return str(HfApi().dataset_info(hub.id).sha)
    except (OSError, ValueError, HfHubHTTPError, OfflineModeIsEnabled) as problem:
        raise _unreachable(hub, problem) from problem


def _table(hub: HubData, split: str, commit: str) -> Any:
    from datasets import load_dataset

    return load_dataset(hub.id, hub.config or None, split=hub.splits[split], revision=commit)


def _file(hub: HubData, split: str, commit: str) -> str:
    from huggingface_hub import hf_hub_download

    return str(hf_hub_download(hub.id, hub.splits[split], repo_type="dataset", revision=commit))


def _unreachable(hub: HubData, problem: Exception) -> DataError:
    reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
    return DataError(f"{hub.id} could not be fetched from the Hugging Face hub: {reason}")


def _folder(hub: HubData, split: str, commit: str) -> Path:
    parts = [part.replace("/", "--") for part in (hub.id, commit, hub.config or "default", split)]
    return cache_root().joinpath("hub", *parts)


def _pin_file() -> Path:
    return cache_root() / "hub-pins.json"


def _pins() -> dict[str, str]:
    try:
        return dict(json.loads(_pin_file().read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as problem:
        raise DataError(
            f"{_pin_file()} is damaged ({problem}); delete it to pin the hub's data sets anew."
        ) from problem
