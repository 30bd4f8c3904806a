"""The transfer sets: official splits, folds that cover everything once, and bytes that are the sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.types import Example, Label
from harness.models.embedders.probe import texts
from harness.sources import DataSources
from harness.tasks.embedding._sentences import VOCABULARY, as_bytes


def drawn(spec: str, sources: DataSources, split: str = "test") -> list[Example]:
    return list(registry.create("task", f"embedding/{spec}").examples(split, 0, sources))


def label(example: Example) -> Label:
    request = example.requests[0]
    assert isinstance(request, Label)
    return request


@pytest.mark.parametrize(("name", "rows"), [("sst2", 1_821), ("trec", 500), ("mrpc", 1_725)])
def test_official_tests_are_whole(name: str, rows: int, real_sources: DataSources) -> None:
    assert len(drawn(name, real_sources)) == rows


def test_the_ten_folds_test_every_sentence_once(real_sources: DataSources) -> None:
    ids = [item.id for fold in range(10) for item in drawn(f"cr:fold={fold}", real_sources)]
    assert len(ids) == len(set(ids)) == 3_775


@pytest.mark.parametrize("name", ["cr", "trec", "mrpc"])
def test_no_sentence_is_in_two_splits(name: str, real_sources: DataSources) -> None:
    parts = [
        {label(item).sequence.tobytes() for item in drawn(name, real_sources, split)}
        for split in ("train", "validation", "test")
    ]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert len(parts[1]) > 100


@pytest.mark.parametrize("sentences", [("plain",), ("",), ("naïve 東京",), ("one", "two"), ("", "only the second")])
def test_bytes_are_the_sentences(sentences: tuple[str, ...]) -> None:
    ids = as_bytes(sentences)
    assert ids.dtype == np.int64
    assert 0 <= ids.min() <= ids.max() < VOCABULARY
    assert texts(Label(ids, 2, VOCABULARY)) == sentences


def test_mistakes_are_refused(tmp_path: Path, real_sources: DataSources) -> None:
    with pytest.raises(UsageError, match="fold=10"):
        registry.create("task", "embedding/mr:fold=10")
    with pytest.raises(UsageError, match="no split 'dev'"):
        drawn("trec", real_sources, "dev")
    (tmp_path / "test.tsv").write_text("split\tlabel\ttext\ntest\t6\twhat ?\n")
    with pytest.raises(DataError, match="label '6' is not 0 to 5"):
        drawn("trec", DataSources(None, own={"trec": tmp_path}, online=False))
