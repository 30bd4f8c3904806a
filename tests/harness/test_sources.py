"""Data are found in one order, digests are checked once, and what is missing says what to set."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import digests, hub, sources
from harness.api.errors import DataError, UsageError
from harness.api.types import DataFile, Dataset, HubData
from harness.sources import DataSources, from_environment

Build = Callable[..., tuple[Dataset, DataSources]]


def test_rows_and_digest_come_from_the_data_folder(tiny_dataset: Build) -> None:
    dataset, source = tiny_dataset([{"text": "a"}, {"text": "b"}])
    assert list(source.rows(dataset, "test")) == [{"text": "a"}, {"text": "b"}]
    assert source.digest(dataset, "test") == dataset.files["test"].sha256
    assert source.path(dataset, "test").name == "test.jsonl"


def test_a_changed_byte_is_refused_in_one_line(tiny_dataset: Build) -> None:
    dataset, source = tiny_dataset([{"text": "a"}])
    path = source.path(dataset, "test")
    path.write_text('{"text": "b"}\n')
    os.utime(path, ns=(1, 1))
    with pytest.raises(DataError, match="damaged or another version") as caught:
        list(source.rows(dataset, "test"))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_without_any_folder_the_error_says_what_to_set(no_data: DataSources) -> None:
    dataset = Dataset(
        "dialogsum", {"test": DataFile("dialogsum/test.jsonl.gz", "00")}, hub=HubData("x/y", {"test": "test"})
    )
    with pytest.raises(DataError, match=r"no data folder is set. Set HARNESS_DATA .* HARNESS_SOURCE=hub"):
        no_data.digest(dataset, "test")


def test_an_empty_data_folder_names_the_file_that_it_lacks(tmp_path: Path) -> None:
    dataset = Dataset("dialogsum", {"test": DataFile("dialogsum/test.jsonl.gz", "00")})
    with pytest.raises(DataError, match="has no dialogsum/test.jsonl.gz"):
        DataSources(tmp_path).path(dataset, "test")


def test_an_unknown_split_names_those_that_exist(tiny_dataset: Build) -> None:
    dataset, source = tiny_dataset([{"text": "a"}])
    with pytest.raises(UsageError, match="no split 'train'; it has test"):
        source.digest(dataset, "train")


def test_the_users_own_folder_replaces_the_pin_and_says_so(tiny_dataset: Build, tmp_path: Path) -> None:
    dataset, _ = tiny_dataset([{"text": "pinned"}])
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "test.tsv").write_text("text\tmore\nown\tx\n")
    source = DataSources(None, own={"tiny": mine})
    assert list(source.rows(dataset, "test")) == [{"text": "own", "more": "x"}]
    assert source.digest(dataset, "test").startswith("local:")
    with pytest.raises(DataError, match="holds no train.jsonl"):
        source.digest(dataset, "train")


def test_a_file_is_hashed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    read: list[Path] = []
    compute = digests.compute
    monkeypatch.setattr(digests, "compute", lambda path: read.append(path) or compute(path))
    first = digests.sha256(path)
    assert digests.sha256(path) == first
    assert len(read) == 1
    path.write_bytes(b"other")
    assert digests.sha256(path) != first
    assert len(read) == 2


def test_a_torn_digest_memory_costs_only_another_hashing(tmp_path: Path, own_cache: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    first = digests.sha256(path)
    (own_cache / "digests.json").write_text('{"torn": [1')
    assert digests.sha256(path) == first


def test_environment_chooses_the_back_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in hub.OFFLINE:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    chosen = from_environment()
    assert (chosen.root, chosen.from_hub, chosen.online) == (tmp_path, "never", False)
    assert all(os.environ[name] == "1" for name in hub.OFFLINE)
    monkeypatch.setenv("HARNESS_OFFLINE", "0")
    assert from_environment(fetch=True).from_hub == "missing"
    assert all(os.environ[name] == "0" for name in hub.OFFLINE)
    monkeypatch.setenv("HARNESS_SOURCE", "hub")
    assert from_environment().from_hub == "always"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("HARNESS_SOURCE", "cloud", "must be one of local, hub"),
        ("HARNESS_SOURCE", "hub", "HARNESS_OFFLINE forbids"),
        ("HARNESS_DATA", "/no/such/folder", "not a folder"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_line(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises((UsageError, DataError), match=message):
        from_environment()


def test_an_own_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        from_environment(own={"imdb": tmp_path / "none"})


class _Table:
    """What the datasets library hands back, as far as a fetch uses it."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def to_parquet(self, path: str) -> None:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(self.rows), path)


@pytest.fixture
def a_hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub of one data set; the list records what was asked of it."""
    asked: list[str] = []
    rows = [{"translation": {"en": "dog", "de": "Hund"}}]
    monkeypatch.setattr(hub, "_current_commit", lambda data: asked.append("commit") or "c0ffee")
    monkeypatch.setattr(hub, "_table", lambda data, split, commit: asked.append(f"{split}@{commit}") or _Table(rows))
    return asked


HUB_SET = Dataset(
    "wmt",
    {},
    columns=("en", "de"),
    hub=HubData("wmt/wmt14", {"test": "test"}, "de-en", columns={"en": "translation.en", "de": "translation.de"}),
)


def test_a_hub_fetch_records_the_commit_and_later_runs_need_no_hub(a_hub: list[str], no_data: DataSources) -> None:
    lines: list[str] = []
    online = DataSources(None, from_hub="missing", announce=lines.append)
    first = online.digest(HUB_SET, "test")
    assert first == "hub:wmt/wmt14@c0ffee:de-en/test"
    assert a_hub == ["commit", "test@c0ffee"]
    assert "pinned to its current commit" in lines[0]
    rows = list(no_data.rows(HUB_SET, "test"))
    assert [(row["en"], row["de"]) for row in rows] == [("dog", "Hund")]
    assert no_data.digest(HUB_SET, "test") == first
    assert a_hub == ["commit", "test@c0ffee"]


def test_a_failed_hub_fetch_leaves_nothing_half(
    a_hub: list[str], monkeypatch: pytest.MonkeyPatch, no_data: DataSources
) -> None:
    def cut(data: HubData, split: str, commit: str) -> _Table:
        raise ConnectionError("the line went dead\nsecond line")

    monkeypatch.setattr(hub, "_table", cut)
    with pytest.raises(DataError, match="could not be fetched from the Hugging Face hub: the line went dead. Try"):
        DataSources(None, from_hub="missing", announce=lambda line: None).path(HUB_SET, "test")
    with pytest.raises(DataError, match="no data folder is set"):
        no_data.path(HUB_SET, "test")


def test_a_hub_client_may_fail_in_any_way_of_its_own(a_hub: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class ConnectError(Exception):
        """As httpx has it: neither an OSError nor a ValueError."""

    def cut(data: HubData, split: str, commit: str) -> _Table:
        raise ConnectError

    monkeypatch.setattr(hub, "_table", cut)
    with pytest.raises(DataError, match="could not be fetched from the Hugging Face hub: ConnectError. Try again"):
        DataSources(None, from_hub="missing", announce=lambda line: None).path(HUB_SET, "test")


def test_the_hub_rows_must_have_the_columns(a_hub: list[str]) -> None:
    wrong = Dataset("wmt", {}, columns=("fr",), hub=HubData("wmt/wmt14", {"test": "test"}))
    with pytest.raises(DataError, match="no column 'fr'"):
        list(DataSources(None, from_hub="always", announce=lambda line: None).rows(wrong, "test"))


def test_every_pin_of_the_data_folder_still_holds(data_folder: Path) -> None:
    entries = json.loads((data_folder / "manifest.json").read_text())
    entry = next(entry for entry in entries if entry["id"] == "noun_list_recall")
    assert entry["files"]
    for file in entry["files"]:
        assert digests.sha256(data_folder / entry["id"] / file["file"]) == file["sha256"]


def test_data_root_is_none_on_a_bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    monkeypatch.setattr(sources, "__file__", str(tmp_path / "site" / "harness" / "sources.py"))
    assert sources.data_root() is None
