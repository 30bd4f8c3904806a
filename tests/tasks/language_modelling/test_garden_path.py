"""Garden paths: the critical words are found, and surprisal there agrees with what was published."""

from __future__ import annotations

import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from harness.api.errors import UsageError
from harness.api.types import Example, Response, Score, Scored
from harness.metrics.effect_correlation import EffectCorrelation
from harness.metrics.published_effect import PublishedEffect
from harness.metrics.surprisal_effect import SurprisalEffect
from harness.sources import DataSources
from harness.tasks.language_modelling.garden_path import CONSTRUCTIONS, GardenPath


@pytest.fixture
def examples(real_sources: DataSources) -> list[Example]:
    return list(GardenPath().examples("test", 0, real_sources))


def words(example: Example) -> list[list[str]]:
    return [
        [request.continuation[start:end] for start, end in places]  # type: ignore[union-attr]
        for request, places in zip(example.requests, example.target["places"], strict=True)
    ]


def test_every_construction_has_its_items(examples: list[Example]) -> None:
    counts = {name: sum(example.tags["construction"] == name for example in examples) for name in CONSTRUCTIONS}
    assert counts == {**dict.fromkeys(CONSTRUCTIONS, 24), "agreement": 18}


def test_critical_words_are_the_disambiguating_ones(examples: list[Example]) -> None:
    by_id = {example.id: words(example) for example in examples}
    assert by_id["noun_phrase_sentence-1"] == [[" deserved", " further", " investigation"]] * 2
    assert by_id["attachment_high-49"] == [[" is", " reckless", " and"]] * 2
    assert by_id["relative_clause-25"] == [[" followed", " the", " kids"], [" followed", " wondered", " about"]]
    assert by_id["agreement-1"] == [[" deserves", " further", " inspection"]] * 2


def test_a_pair_shares_its_critical_word(examples: list[Example]) -> None:
    different = {example.id: [first for first, *_ in words(example)] for example in examples}
    different = {name: pair for name, pair in different.items() if pair[0] != pair[1]}
    # the release counts one word too few in this sentence; the published effects rest on that count
    assert different == {"relative_clause-42": [" delayed", " crew"]}


def published_responses(example: Example, data_folder: Path, subset: str) -> tuple[Response, ...]:
    """The released GPT-2 surprisals as a model's answer."""
    found: dict[str, list[tuple[str, float]]] = {}
    with gzip.open(data_folder / f"garden_path_sap/surprisal_gpt2_{subset}.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["Sentence"], []).append((row["word"], float(row["sum_surprisal"])))
    answers = []
    for request in example.requests:
        assert isinstance(request, Score)
        logprobs, spans, end = [], [], 0
        for word, surprisal in found[request.continuation]:
            start = request.continuation.index(word, end)
            # tokens carry their leading space; a cut word must add up as well
            middle = start + len(word) // 2
            spans += [(end, middle), (middle, start + len(word))] if len(word) > 1 else [(end, start + len(word))]
            logprobs += [-surprisal / 2, -surprisal / 2] if len(word) > 1 else [-surprisal]
            end = start + len(word)
        answers.append(Scored(tuple(logprobs), tuple(spans)))
    return tuple(answers)


def test_published_surprisals_give_the_published_effects(examples: list[Example], data_folder: Path) -> None:
    chosen = [example for example in examples if example.tags["construction"] == "noun_phrase_zero"]
    metric, reference = SurprisalEffect(region="all"), PublishedEffect(reference="gpt2")
    correlation = EffectCorrelation(reference="gpt2")
    statistics = []
    for example in chosen:
        responses = published_responses(example, data_folder, "ClassicGP")
        assert metric.value(example, responses) == pytest.approx(reference.value(example, responses), abs=1e-9)
        statistics.append(correlation.measure(example, responses))
    assert correlation.reduce(np.array(statistics)) == pytest.approx(1.0)


def test_human_effects_average_to_the_published_construction_effects(
    examples: list[Example], data_folder: Path
) -> None:
    with (data_folder / "garden_path_sap/effects_by_construction.csv").open(encoding="utf-8") as file:
        published = {
            (row["coef"], int(row["ROI"])): float(row["mean"])
            for row in csv.DictReader(file)
            if row["source"] == "human"
        }
    for name, contrast in CONSTRUCTIONS.items():
        effects = [example.target["human"] for example in examples if example.tags["construction"] == name]
        for region, mean in enumerate(np.mean(effects, axis=0)):
            # posterior means of items shrink towards the construction's own
            assert mean == pytest.approx(published[contrast.coefficient, region], abs=4.0), (name, region)


def test_regions_add_up() -> None:
    places = [[(0, 2), (2, 4), (4, 6)]] * 2
    example = Example("0", (Score("", "a b c "), Score("", "a b c ")), {"places": places})
    easy = Scored((0.0, 0.0, 0.0), ((0, 2), (2, 4), (4, 6)))
    hard = Scored(tuple(-math.log(2) * bits for bits in (1, 2, 4)), ((0, 2), (2, 4), (4, 6)))
    values = [SurprisalEffect(region=name).value(example, (easy, hard)) for name in ("critical", "spillover", "all")]  # type: ignore[arg-type]
    assert values == pytest.approx([1.0, 6.0, 7.0])


def test_correlation_with_a_constant_effect_is_not_a_number() -> None:
    metric = EffectCorrelation(reference="human")
    assert math.isnan(metric.reduce(np.array([[1.0, 5.0, 1.0, 25.0, 5.0], [2.0, 5.0, 4.0, 25.0, 10.0]])))


def test_correlation_equals_numpys() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 50))
    statistics = np.stack([x, y, x * x, y * y, x * y], axis=1)
    assert EffectCorrelation(reference="human").reduce(statistics) == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_an_unknown_construction_is_refused(real_sources: DataSources) -> None:
    with pytest.raises(UsageError, match="no construction 'npz'; it has main_verb_reduced_relative"):
        next(GardenPath(construction="npz").examples("test", 0, real_sources))
