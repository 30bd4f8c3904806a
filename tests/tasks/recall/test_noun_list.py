"""Noun lists: the paper's strings rebuilt, spans that follow sub-tokens, the shape of own stimuli, the metric."""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.types import Example, Score, Scored
from harness.sources import DataSources
from harness.tasks.recall._noun_stimuli import (
    novel_partners,
    own_frame,
    own_lists,
    permuted,
    read_own,
    rotate,
    scramble,
)
from harness.tasks.recall._repeat_surprisal import RepeatSurprisal, noun_surprisals, percent

SCENARIOS = (
    "intact",
    "scrambled",
    "incongruent",
    "short",
    "permuted_preface",
    "comma",
    "other_name",
    "permuted_prompt",
)


def trials(spec: str, sources: DataSources, seed: int = 0) -> list[Example]:
    return list(registry.create("task", spec).examples("test", seed, sources))


def text(example: Example) -> str:
    request = example.requests[0]
    assert isinstance(request, Score)
    return request.context + request.continuation


@pytest.mark.parametrize("length", [3, 5, 7, 10])
@pytest.mark.parametrize(("kind", "file"), [("arbitrary", "random"), ("semantic", "categorized")])
@pytest.mark.parametrize(("condition", "name"), [("repeat", "repeat"), ("permute", "permute"), ("novel", "control")])
def test_armeni_strings_equal_the_published_short_inputs(
    data_folder: Path, real_sources: DataSources, kind: str, file: str, condition: str, name: str, length: int
) -> None:
    spec = f"recall/noun_list:type={kind},length={length},condition={condition},scenario=short,stimuli=armeni"
    ours = sorted(trials(spec, real_sources), key=lambda example: example.id)
    with gzip.open(data_folder / f"noun_list_recall/{file}_sce3_{name}.tsv.gz", "rt", encoding="utf-8") as rows:
        table = csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
        # the published inputs are tokenised: a space stands before each mark
        published = [re.sub(r" ([,.:])", r"\1", row["text"]) for row in table if row["list_len"] == str(length)]
    assert [text(example) for example in ours] == published
    assert len(ours) == 230


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_armeni_scenarios_follow_the_repositorys_rule(real_sources: DataSources, scenario: str) -> None:
    example = trials(f"noun_list:length=3,condition=repeat,scenario={scenario},stimuli=armeni", real_sources)[0]
    request = example.requests[0]
    assert isinstance(request, Score)
    assert request.continuation.startswith(" patience, notion, movie. ")
    assert request.continuation.endswith(" patience, notion, movie.")
    assert "  " not in text(example)


def test_a_changed_stimulus_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "noun_list_recall").mkdir()
    (tmp_path / "noun_list_recall" / "noun_lists_random.json").write_text("{}")
    with pytest.raises(DataError):
        trials("noun_list:stimuli=armeni", DataSources(tmp_path, online=False))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_spans_cover_exactly_the_nouns(no_data: DataSources, scenario: str) -> None:
    for example in trials(f"noun_list:length=5,scenario={scenario}", no_data)[:30]:
        request = example.requests[0]
        assert isinstance(request, Score)
        words = [[request.continuation[a:b] for a, b in example.target[side]] for side in ("first", "second")]
        assert request.continuation.startswith(" " + ", ".join(words[0]) + ". ")
        assert request.continuation.endswith(" " + ", ".join(words[1]) + ".")
        if example.target["condition"] == "repeat":
            assert words[0] == words[1]
        elif example.target["condition"] == "permute":
            assert words[0] != words[1]
            assert sorted(words[0]) == sorted(words[1])
        else:
            assert not set(words[0]) & set(words[1])


@pytest.mark.parametrize("kind", ["arbitrary", "semantic"])
def test_own_base_lists_are_23_and_share_no_noun(kind: str) -> None:
    nouns = read_own()["nouns"]
    lists = own_lists(nouns, kind, seed=3)
    bases = lists[::10]
    assert len(lists) == 230
    assert len({noun for base in bases for noun in base}) == 230
    assert all(lists[10 * base + shift] == rotate(bases[base], shift) for base in range(23) for shift in range(10))
    home = {noun: category for category, members in nouns.items() for noun in members}
    wanted = 10 if kind == "arbitrary" else 1
    assert all(len({home[noun] for noun in base}) == wanted for base in bases)


def test_there_are_at_least_200_own_nouns_in_16_categories() -> None:
    nouns = read_own()["nouns"]
    members = [noun for group in nouns.values() for noun in group]
    assert len(nouns) >= 16
    assert len(members) == len(set(members)) >= 200


def test_own_texts_are_about_as_long_as_the_papers() -> None:
    paper = [22, 41, 86, 173, 391]  # words between the lists, sce1
    own = [len(own_frame(read_own(), "intact", length).between.split()) for length in range(1, 6)]
    assert all(abs(mine - theirs) <= 0.1 * theirs for mine, theirs in zip(own, paper, strict=True))


def test_permuting_never_returns_the_same_order() -> None:
    lists = [rotate(["a", "b", "c"], shift) for shift in range(3)] * 70
    assert all(new != old for new, old in zip(permuted(lists), lists, strict=True))


def test_a_novel_list_is_of_another_base_list() -> None:
    partners = novel_partners(230, seed=5)
    assert all(index // 10 != partner // 10 for index, partner in enumerate(partners))


def test_scrambling_keeps_the_words_and_repeats_itself() -> None:
    plain = "The sea is calm. She saw Tom near the quay."
    assert scramble(plain) == scramble(plain) != plain
    assert sorted(scramble(plain).lower().replace(".", "").split()) == sorted(plain.lower().replace(".", "").split())


def test_a_limited_run_spans_many_base_lists(no_data: DataSources) -> None:
    assert len({example.cluster for example in trials("noun_list", no_data)[:60]}) == 20


def test_shifts_of_one_base_list_are_one_cluster(no_data: DataSources) -> None:
    examples = trials("noun_list:condition=repeat", no_data)
    clusters = Counter(example.cluster for example in examples)
    # 23 base lists of ten circular shifts each: the shifts hold the same nouns, so that they are no independent units
    assert (len(clusters), set(clusters.values())) == (23, {10})
    nouns: dict[str, set[frozenset[str]]] = {}
    for example in examples:
        continuation = example.requests[0].continuation  # type: ignore[attr-defined]
        listed = frozenset(continuation[start:end] for start, end in example.target["first"])
        nouns.setdefault(example.cluster, set()).add(listed)
    assert {len(found) for found in nouns.values()} == {1}
    assert len({next(iter(found)) for found in nouns.values()}) == 23


def test_the_short_scenario_has_one_text() -> None:
    with pytest.raises(UsageError, match="intervening=2 does not exist"):
        registry.create("task", "noun_list:scenario=short,intervening=2")


def test_only_a_test_split_exists(no_data: DataSources) -> None:
    with pytest.raises(UsageError, match="it has test"):
        next(iter(registry.create("task", "noun_list").examples("train", 0, no_data)))


def test_a_noun_collects_every_token_that_overlaps_it() -> None:
    # " salmon, eel." as " sal" "mon" "," " " "eel" "."
    scored = Scored((-1.0, -2.0, -4.0, -8.0, -16.0, -32.0), ((0, 4), (4, 7), (7, 8), (8, 9), (9, 12), (12, 13)))
    assert noun_surprisals(scored, [[1, 7], [9, 12]]) == [3.0, 16.0]


def test_a_token_without_a_whole_character_belongs_where_it_starts() -> None:
    scored = Scored((-1.0, -2.0, -4.0), ((0, 2), (2, 2), (2, 3)))
    assert noun_surprisals(scored, [[1, 3]]) == [7.0]
    # where it is the first of its noun, and where the noun ends there
    assert noun_surprisals(scored, [[2, 3]]) == [6.0]
    assert noun_surprisals(scored, [[0, 2]]) == [1.0]


def test_the_first_noun_does_not_count() -> None:
    spans = {"condition": "repeat", "first": [[0, 1], [1, 2], [2, 3]], "second": [[3, 4], [4, 5], [5, 6]]}
    scored = Scored((-50.0, -2.0, -6.0, -70.0, -1.0, -1.0), tuple((place, place + 1) for place in range(6)))
    measured = RepeatSurprisal("repeat").measure(Example("a", (), spans), (scored,))
    assert measured[0] == pytest.approx(25.0)
    assert np.isnan(RepeatSurprisal("novel").measure(Example("a", (), spans), (scored,))).all()


def test_percentages_of_degenerate_sums() -> None:
    assert percent(0.0, 0.0) == 100.0
    assert percent(np.inf, np.inf) == 100.0
    assert percent(1.0, 0.0) == np.inf
    assert percent(1.0, np.inf) == 0.0


def test_resampling_equals_reducing_each_resample() -> None:
    metric = RepeatSurprisal("repeat")
    values = np.random.default_rng(0).normal(50, 9, (17, 1))
    draws = np.random.default_rng(1).integers(17, size=(9, 17))
    assert metric.resample(values, draws).tolist() == [metric.reduce(values[rows]) for rows in draws]
