"""The similarity sets: published sizes, the "all" setting against scipy, and no mean over fewer sets."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Embed, Embedded, Example
from harness.sources import DataSources
from harness.tasks.embedding._mean_spearman import MeanSpearman
from harness.tasks.embedding._similarity import SETS

SIZES = {"sts12": 3108, "sts13": 1500, "sts14": 3750, "sts15": 3000, "sts16": 1186, "stsb": 1379, "sickr": 4927}


def pairs(name: str, sources: DataSources, split: str = "test") -> list[Example]:
    return list(registry.create("task", f"embedding/{name}").examples(split, 0, sources))


@pytest.mark.parametrize("name", SETS)
def test_every_set_has_its_published_pairs(name: str, real_sources: DataSources) -> None:
    assert len(pairs(name, real_sources)) == SIZES[name]


def test_subsets_are_those_of_the_release(real_sources: DataSources) -> None:
    found = Counter(item.tags["subset"] for item in pairs("sts13", real_sources))
    assert found == {"FNWN": 189, "OnWN": 561, "headlines": 750}


def test_a_pair_of_the_test_is_in_no_other_split(real_sources: DataSources) -> None:
    parts = [{item.requests for item in pairs("stsb", real_sources, part)} for part in ("train", "validation", "test")]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert not parts[0] & parts[1]
    assert 5_600 < len(parts[0]) <= 5_749


def test_spearman_over_all_subsets_together_equals_scipys(real_sources: DataSources) -> None:
    from scipy.stats import spearmanr

    examples = pairs("sts13", real_sources)
    model = registry.create("model", "embedders/tfidf").load(Setting(real_sources))
    metric, rows, cosines = registry.create("metric", "spearman"), [], []
    for example in examples:
        answers = model.embed(list(example.requests), meter=SilentMeter())
        rows.append(metric.measure(example, answers))
        cosines.append(float(answers[0].vector @ answers[1].vector))
    table = np.stack(rows)
    np.testing.assert_allclose(table[:, 0], cosines, atol=1e-12)
    # ranks are taken of the same numbers, since rounding may break a tie
    expected = spearmanr(table[:, 0], [example.target for example in examples]).statistic
    assert metric.reduce(table) == pytest.approx(expected, abs=1e-9)
    assert expected > 0.3


def test_the_average_is_the_mean_of_seven_and_nothing_with_fewer() -> None:
    rng, metric = np.random.default_rng(0), MeanSpearman(("x", "y"))

    def example(tag: str, target: float) -> Example:
        return Example("0", (Embed("a"), Embed("b")), target, {"set": tag})

    rows = {
        tag: np.stack(
            [
                metric.measure(example(tag, float(score)), (Embedded(rng.normal(size=3)), Embedded(rng.normal(size=3))))
                for score in range(9)
            ]
        )
        for tag in ("x", "y")
    }
    from scipy.stats import spearmanr

    expected = np.mean([spearmanr(part[:, 1], part[:, 2]).statistic for part in rows.values()])
    assert metric.reduce(np.concatenate(list(rows.values()))) == pytest.approx(expected, abs=1e-12)
    assert math.isnan(metric.reduce(rows["x"]))
    assert math.isnan(metric.reduce(np.concatenate([rows["x"], rows["y"][:1]])))


def test_the_average_takes_turns_and_a_sample_is_spread_evenly(real_sources: DataSources) -> None:
    examples = pairs("sts_average:pairs=3", real_sources)
    assert [item.tags["set"] for item in examples] == list(SETS) * 3
    whole = [item.id for item in pairs("sts16", real_sources)]
    assert [item.id for item in examples if item.tags["set"] == "sts16"] == [whole[0], whole[395], whole[790]]


def test_a_split_or_a_sample_that_makes_no_sense_is_refused(real_sources: DataSources) -> None:
    with pytest.raises(UsageError, match="no split 'train'; it has test"):
        pairs("sts12", real_sources, "train")
    with pytest.raises(UsageError, match="pairs=1"):
        registry.create("task", "embedding/sts_average:pairs=1")


@pytest.mark.parametrize(("score", "reason"), [("?", "is not a number"), ("7", "not between"), ("nan", "not between")])
def test_a_bad_score_is_refused(tmp_path: Path, score: str, reason: str) -> None:
    (tmp_path / "stsb.tsv").write_text(f"split\tgenre\tscore\tsentence1\tsentence2\ntest\tx\t{score}\ta\tb\n")
    (tmp_path / "stsb.tsv").rename(tmp_path / "test.tsv")
    with pytest.raises(DataError, match=reason):
        pairs("stsb", DataSources(None, own={"stsb": tmp_path}, online=False))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "test.tsv").write_text("split\tgenre\tscore\tsentence1\ntest\tx\t1\ta\n")
    with pytest.raises(DataError, match="sentence2"):
        pairs("stsb", DataSources(None, own={"stsb": tmp_path}, online=False))


@pytest.mark.parametrize("step", [0.0, 1.0])
def test_the_correlation_of_ranks_is_scipys_with_and_without_ties(step):
    pairs = np.random.default_rng(0).normal(size=(60, 2))
    pairs = np.round(pairs / step) if step else pairs
    metric = MeanSpearman(("one",))
    assert metric.reduce(np.column_stack([np.zeros(60), pairs])) == pytest.approx(spearmanr(*pairs.T).statistic)
