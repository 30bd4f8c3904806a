"""Series classifiers: each learns two shapes, keeps requests apart, and survives what few shots bring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import HarnessError, UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Budget, Example, Failure, Label, Labelled
from harness.models.series._cases import by_class, stretched
from harness.sources import DataSources

OWN = ["series/euclidean_1nn", "series/cnn"]
AEON = ["series/dtw_1nn", "series/rocket:kernels=100", "series/minirocket:kernels=84"]


def wave(kind: int, length: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Two channels: a slow or a fast wave, and noise."""
    time = np.linspace(0, 1, length)
    first = np.sin(2 * np.pi * (1 + 3 * kind) * time) + 0.05 * rng.normal(size=length)
    return np.stack([first, 0.05 * rng.normal(size=length)], axis=1)


def cases(count: int, lengths: Sequence[int] = (40,), classes: int = 2, kinds: Sequence[int] = (0, 1)) -> list[Example]:
    rng = np.random.default_rng(0)
    made = []
    for index in range(count):
        kind = kinds[index % len(kinds)]
        series = wave(kind, lengths[index % len(lengths)], rng)
        made.append(Example(f"{index}", (Label(series, classes),), kind))
    return made


def fit(name: str, examples: list[Example], seed: int = 0) -> Any:
    def none() -> Iterator[Example]:
        return iter(())

    setting = Setting(DataSources(None, online=False))
    return registry.create("model", name).fit(
        lambda: iter(examples), none, seed=seed, budget=Budget(), setting=setting, meter=SilentMeter()
    )


def scores(fitted: Any, examples: list[Example]) -> np.ndarray[Any, Any]:
    answers = fitted.label([example.requests[0] for example in examples], meter=SilentMeter())
    return np.stack([answer.scores for answer in answers])


# aeon compiles its loops anew in every process, 10 seconds each
@pytest.fixture(params=[*OWN, *(pytest.param(name, marks=pytest.mark.slow) for name in AEON)])
def name(request: Any) -> str:
    if request.param in AEON:
        pytest.importorskip("aeon")
    return str(request.param)


def test_two_shapes_are_learned_from_two_cases_each(name: str) -> None:
    tested = cases(12)[4:]
    found = scores(fit(name, cases(4)), tested)
    assert (found.argmax(1) == [example.target for example in tested]).all()


def test_series_of_unequal_length_and_of_one_step_are_answered_alone_as_in_company(name: str) -> None:
    fitted = fit(name, cases(4, lengths=(40, 25, 33)))
    asked = [*cases(4, lengths=(17, 60)), Example("dot", (Label(np.ones((1, 2)), 2),), 0)]
    together = scores(fitted, asked)
    alone = np.concatenate([scores(fitted, [example]) for example in asked])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores(fitted, asked[::-1]), together[::-1], rtol=1e-4, atol=1e-5)


def test_a_class_that_training_never_saw_never_wins_by_nearness(name: str) -> None:
    found = scores(fit(name, cases(4, classes=3)), cases(6, classes=3))
    assert found.shape == (6, 3)
    if name != "series/cnn":
        assert (found[:, 2] == -np.inf).all()


def test_a_single_class_is_always_told(name: str) -> None:
    assert (scores(fit(name, cases(2, kinds=(1,))), cases(4)).argmax(1) == 1).all()


def test_the_same_seed_gives_the_same_scores(name: str) -> None:
    first, again = (scores(fit(name, cases(4), seed=5), cases(4)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_missing_values_and_other_channels_are_failures_of_their_own(name: str) -> None:
    fitted = fit(name, cases(4))
    good = cases(1)[0].requests[0]
    gap, wide = np.full((40, 2), np.nan), np.zeros((40, 3))
    answers = fitted.label([Label(gap, 2), good, Label(wide, 2)], meter=SilentMeter())
    assert [type(answer) for answer in answers] == [Failure, Labelled, Failure]
    assert "missing values" in answers[0].error
    assert "3 channels" in answers[2].error


@pytest.mark.slow
def test_warping_distance_is_the_recursion_of_the_paper() -> None:
    pytest.importorskip("aeon")
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(7, 2)), rng.normal(size=(5, 2))
    examples = [Example("0", (Label(first, 1),), 0)]
    found = scores(fit("series/dtw_1nn", examples), [Example("1", (Label(second, 1),), 0)])
    costs = np.full((8, 6), np.inf)
    costs[0, 0] = 0.0
    for i in range(7):
        for j in range(5):
            step = ((first[i] - second[j]) ** 2).sum()
            costs[i + 1, j + 1] = step + min(costs[i, j], costs[i, j + 1], costs[i + 1, j])
    assert found[0, 0] == pytest.approx(-costs[7, 5])


def test_stretching_keeps_the_ends_and_leaves_the_right_length_alone() -> None:
    series = np.array([[0.0, 1.0, 4.0]])
    assert stretched([series, np.array([[2.0]])], 5).tolist() == [[[0.0, 0.5, 1.0, 2.5, 4.0]], [[2.0] * 5]]
    assert stretched([series], 3)[0].tolist() == series.tolist()


def test_the_best_case_of_a_class_counts() -> None:
    assert by_class(np.array([-3.0, -1.0, -2.0]), np.array([0, 0, 2]), 3).tolist() == [-1.0, -np.inf, -2.0]


def test_tasks_of_another_kind_are_refused() -> None:
    tokens = Example("0", (Label(np.arange(4), 2, vocabulary=9),), 0)
    with pytest.raises(UsageError, match="real-valued series"):
        fit("series/euclidean_1nn", [tokens])
    with pytest.raises(UsageError, match="no training split"):
        fit("series/euclidean_1nn", [])
    with pytest.raises(HarnessError, match="missing values"):
        fit("series/euclidean_1nn", [Example("0", (Label(np.array([[np.nan]]), 2),), 0)])
