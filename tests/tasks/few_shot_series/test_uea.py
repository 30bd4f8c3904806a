"""Few-shot draws: the same cases for every model, every odd class with a stated outcome."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.types import Example, Label
from harness.sources import DataSources
from harness.tasks.few_shot_series.uea import filled

TRAIN = "@univariate true\n@classLabel true a b c\n@data\n1,2,3:a\n2,?,4:a\n3:a\n9,8:b\n"
TEST = "@univariate true\n@classLabel true a b c\n@data\n1,2:a\n7,7,7:c\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "toy_TRAIN.ts").write_text(TRAIN)
    (tmp_path / "toy_TEST.ts").write_text(TEST)
    return tmp_path


def drawn(spec: str, sources: DataSources, split: str = "train", seed: int = 0) -> list[Example]:
    return list(registry.create("task", f"few_shot_series/uea:{spec}").examples(split, seed, sources))


def test_each_class_gives_k_cases_and_a_smaller_class_all_it_has(folder: Path, no_data: DataSources) -> None:
    assert Counter(item.target for item in drawn(f"dataset=toy,k=2,folder={folder}", no_data)) == {0: 2, 1: 1}
    assert Counter(item.target for item in drawn(f"dataset=toy,k=0,folder={folder}", no_data)) == {0: 3, 1: 1}


def test_a_class_unseen_in_training_stays_among_the_classes(folder: Path, no_data: DataSources) -> None:
    examples = drawn(f"dataset=toy,k=1,folder={folder}", no_data, "test")
    assert [item.target for item in examples] == [0, 2]
    assert {item.requests[0].classes for item in examples} == {3}  # type: ignore[attr-defined]


def test_a_seed_draws_the_same_cases_and_fewer_are_among_more(real_sources: DataSources) -> None:
    one, five = (drawn(f"dataset=RacketSports,k={k}", real_sources, seed=3) for k in (1, 5))
    again = drawn("dataset=RacketSports,k=5", real_sources, seed=3)
    assert [item.id for item in five] == [item.id for item in again]
    assert {item.id for item in one} < {item.id for item in five}
    assert {item.id for item in five} != {item.id for item in drawn("dataset=RacketSports,k=5", real_sources, seed=4)}
    assert Counter(item.target for item in five) == dict.fromkeys(range(4), 5)


def test_the_test_split_is_whole_and_hangs_on_no_seed(real_sources: DataSources) -> None:
    first, other = (drawn("dataset=GunPoint,k=1", real_sources, "test", seed) for seed in (0, 1))
    assert [item.id for item in first] == [item.id for item in other]
    assert len(first) == 150


@pytest.mark.parametrize(
    ("series", "whole"),
    [
        ([np.nan, 1.0, np.nan, 3.0, np.nan], [1.0, 1.0, 2.0, 3.0, 3.0]),
        ([np.nan, np.nan], [0.0, 0.0]),
        ([5.0], [5.0]),
    ],
)
def test_gaps_are_interpolated(series: list[float], whole: list[float]) -> None:
    assert filled(np.array(series)[:, None])[:, 0].tolist() == whole


def test_no_request_carries_a_gap(folder: Path, no_data: DataSources) -> None:
    requests = [item.requests[0] for item in drawn(f"dataset=toy,k=0,folder={folder}", no_data)]
    assert all(isinstance(item, Label) and np.isfinite(item.sequence).all() for item in requests)


def test_mistakes_are_refused_with_what_to_do(folder: Path, no_data: DataSources) -> None:
    with pytest.raises(UsageError, match="no pinned data set 'Nope'"):
        registry.create("task", "few_shot_series/uea:dataset=Nope")
    with pytest.raises(UsageError, match="k=-1"):
        registry.create("task", "few_shot_series/uea:k=-1")
    with pytest.raises(DataError, match="holds no other_TRAIN"):
        drawn(f"dataset=other,folder={folder}", no_data)
    with pytest.raises(UsageError, match="no split 'validation'"):
        drawn(f"dataset=toy,folder={folder}", no_data, "validation")


def test_files_that_disagree_are_refused(folder: Path, no_data: DataSources) -> None:
    (folder / "toy_TEST.ts").write_text(TEST.replace("true a b c", "true a c"))
    with pytest.raises(DataError, match="names the classes"):
        drawn(f"dataset=toy,folder={folder}", no_data)
    (folder / "toy_TEST.ts").write_text("@classLabel true a b c\n@data\n1:2:a\n")
    with pytest.raises(DataError, match="1 channels in training, 2 in the test"):
        drawn(f"dataset=toy,folder={folder}", no_data)


def test_the_digest_of_a_folder_follows_its_bytes(folder: Path, no_data: DataSources) -> None:
    task = registry.create("task", f"few_shot_series/uea:dataset=toy,folder={folder}")
    before = task.data_digest("test", no_data)
    (folder / "toy_TRAIN.ts").write_text(TRAIN + "1:a\n")
    assert before.startswith("local:")
    assert task.data_digest("test", no_data) != before
