"""Metrics of labels, likelihoods, similarities and forecasts equal scikit-learn, lm-eval and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import balanced_accuracy_score

from harness.api import registry
from harness.api.errors import HarnessError, UsageError
from harness.api.types import Embed, Embedded, Example, Forecasted, Generated, Label, Labelled, Score, Scored
from harness.stats import interval


def create(spec: str):
    return registry.create("metric", spec)


def reduce(spec: str, pairs) -> float:
    metric = create(spec)
    return metric.reduce(np.array([metric.measure(example, responses) for example, responses in pairs]))


def labelled(target, scores, classes: int = 3):
    return Example("a", (Label(np.zeros(4), classes),), target), [Labelled(np.array(scores, dtype=float))]


def choices(target, texts, totals):
    requests = tuple(Score("Q:", text) for text in texts)
    return Example("a", requests, target), [Scored((total,), ((0, 1),)) for total in totals]


def test_a_tie_goes_to_the_lowest_class():
    assert reduce("accuracy", [labelled(0, [1, 1, 0])]) == 1.0
    assert reduce("accuracy", [labelled(1, [1, 1, 0])]) == 0.0


def test_a_score_of_nan_is_wrong():
    assert reduce("accuracy", [labelled(0, [math.nan, 0, 0])]) == 0.0


def test_accuracy_of_positions_is_their_mean():
    assert reduce("accuracy", [labelled([0, 1], [[1, 0, 0], [1, 0, 0]])]) == 0.5


def test_targets_of_another_length_than_positions_are_refused():
    with pytest.raises(HarnessError, match="3 targets but scores at 2"):
        reduce("accuracy", [labelled([0, 1, 2], [[1, 0, 0], [1, 0, 0]])])


def test_multiple_choice_by_total_by_character_and_by_byte():
    case = choices(1, [" no", " certainly"], [-3.0, -6.0])
    assert reduce("accuracy", [case]) == 0.0
    assert reduce("acc_norm", [case]) == 1.0  # -1.0 a character against -0.67
    accents = choices(0, [" éé", " abc"], [-4.0, -5.0])
    assert reduce("acc_norm", [accents]) == 0.0  # -2 against -1.67
    assert reduce("acc_norm:unit=byte", [accents]) == 1.0  # -1 against -1.67


def test_the_blank_before_a_choice_is_not_part_of_its_length():
    # -1.0 against -0.97 a character; with the blanks it would be -0.67 against -0.73
    assert reduce("acc_norm", [choices(1, [" no", " yes"], [-2.0, -2.9])]) == 1.0


def test_any_of_several_right_choices_counts():
    assert reduce("accuracy", [choices([0, 2], ["a", "b", "c"], [-5.0, -4.0, -1.0])]) == 1.0


def test_balanced_accuracy_equals_scikit_learn():
    rng = np.random.default_rng(0)
    targets = rng.choice(4, size=200, p=[0.7, 0.2, 0.05, 0.05])
    scores = rng.normal(size=(200, 4)) + 1.5 * np.eye(4)[targets]
    found = reduce("balanced_accuracy", [labelled(int(t), s, 4) for t, s in zip(targets, scores, strict=True)])
    assert found == pytest.approx(balanced_accuracy_score(targets, scores.argmax(axis=1)), abs=1e-12)


def test_a_class_without_examples_has_no_say_in_balanced_accuracy():
    # both of class 0 right, one of two of class 2, nothing of class 1
    pairs = [labelled(0, [1, 0, 0]), labelled(0, [1, 0, 0]), labelled(2, [0, 0, 1]), labelled(2, [1, 0, 0])]
    assert reduce("balanced_accuracy", pairs) == 0.75
    metric = create("balanced_accuracy")
    rows = np.array([metric.measure(*pair) for pair in pairs])
    # a resample that drew class 2 alone
    assert metric.resample(rows, np.array([[2, 3, 3, 3], [0, 0, 1, 1]])).tolist() == [0.25, 1.0]


def test_mc2_of_answers_too_long_for_a_double_is_a_share():
    example = Example("a", (Score("Q:", " x"),) * 3, {"true": 1})
    totals = (-2000.0, -2000.0 - math.log(2.0), -2000.0 - math.log(2.0))
    assert create("mc2").value(example, [Scored((total,), ((0, 2),)) for total in totals]) == pytest.approx(0.5)


def test_perplexities_equal_lm_eval():
    lm_metrics = pytest.importorskip("lm_eval.api.metrics")
    texts = ["the cat sat ", "on  a mat", "été à Zürich 😀"]
    totals = [-12.5, -9.25, -30.0]
    words = [len(__import__("re").split(r"\s+", text)) for text in texts]
    sizes = [len(text.encode()) for text in texts]
    cases = [
        (Example("a", (Score("", text),), None), [Scored((total / 2, total / 2), ((0, 1), (1, 2)))])
        for text, total in zip(texts, totals, strict=True)
    ]
    by_word = list(zip(totals, words, strict=True))
    by_byte = list(zip(totals, sizes, strict=True))
    assert reduce("word_perplexity", cases) == pytest.approx(lm_metrics.weighted_perplexity(by_word), rel=1e-12)
    assert reduce("byte_perplexity", cases) == pytest.approx(lm_metrics.weighted_perplexity(by_byte), rel=1e-12)
    assert reduce("bits_per_byte", cases) == pytest.approx(lm_metrics.bits_per_byte(by_byte), rel=1e-12)
    assert reduce("perplexity", cases) == pytest.approx(lm_metrics.perplexity(totals), rel=1e-12)
    assert reduce("surprisal", cases) == pytest.approx(51.75 / 6 / math.log(2))
    assert reduce("surprisal:by=byte,base=nats", cases) == pytest.approx(51.75 / sum(sizes))


def test_a_target_with_counts_overrides_the_text():
    case = (Example("a", (Score("", "don ' t"),), {"words": 1, "bytes": 5}), [Scored((-2.0,), ((0, 7),))])
    assert reduce("word_perplexity", [case]) == pytest.approx(math.exp(2.0))
    assert reduce("bits_per_byte", [case]) == pytest.approx(0.4 / math.log(2))


def test_an_impossible_text_has_infinite_perplexity():
    case = (Example("a", (Score("", "x"),), None), [Scored((-math.inf,), ((0, 1),))])
    assert reduce("byte_perplexity", [case]) == math.inf


def embedded(target: float, first, second):
    return Example("a", (Embed("x"), Embed("y")), target), [Embedded(np.array(v, float)) for v in (first, second)]


def similarity_cases(count: int = 60):
    rng = np.random.default_rng(2)
    cases = []
    for _ in range(count):
        left = rng.normal(size=8)
        target = float(rng.integers(0, 6))
        cases.append(embedded(target, left, left * target / 5 + rng.normal(size=8)))
    return cases


def test_correlations_equal_scipy_with_ties_in_the_targets():
    cases = similarity_cases()
    cosines = [float(a.vector @ b.vector / np.linalg.norm(a.vector) / np.linalg.norm(b.vector)) for _, (a, b) in cases]
    targets = [example.target for example, _ in cases]
    assert reduce("spearman", cases) == pytest.approx(scipy_stats.spearmanr(cosines, targets).statistic, abs=1e-12)
    assert reduce("pearson", cases) == pytest.approx(scipy_stats.pearsonr(cosines, targets).statistic, abs=1e-12)


@pytest.mark.parametrize("name", ["spearman", "pearson"])
def test_resampled_correlations_equal_one_by_one(name):
    metric = create(name)
    statistics = np.array([metric.measure(*case) for case in similarity_cases(25)])
    draws = np.random.default_rng(0).integers(0, 25, size=(7, 25))
    assert metric.resample(statistics, draws) == pytest.approx([metric.reduce(statistics[rows]) for rows in draws])


def test_a_model_that_finds_all_alike_has_no_correlation():
    metric = create("spearman")
    statistics = np.array([metric.measure(*embedded(float(row), [1, 0], [1, 0])) for row in range(5)])
    assert math.isnan(metric.reduce(statistics))
    assert all(math.isnan(end) for end in interval(metric, statistics))


def test_a_vector_of_zeros_has_cosine_zero():
    assert create("pearson").measure(*embedded(1.0, [0, 0], [1, 2]))[0] == 0.0


@pytest.mark.parametrize(("kind", "expected"), [("dot", 4.0), ("euclidean", -math.sqrt(5)), ("manhattan", -3.0)])
def test_other_similarities(kind, expected):
    statistics = create(f"spearman:similarity={kind}").measure(
        *embedded(1.0, [1, 0], [4, 0]) if kind == "dot" else embedded(1.0, [1, 0], [3, 1])
    )
    assert statistics[0] == pytest.approx(expected)


def forecast(target, values):
    return Example("a", (), target), [Forecasted(np.array(values, dtype=float))]


def test_forecast_errors_are_means_over_every_value():
    cases = [forecast([[1.0, 2.0], [3.0, 4.0]], [[1, 2], [3, 6]]), forecast([0.0], [[1.0]])]
    assert reduce("mse", cases) == pytest.approx((4 + 1) / 5)
    assert reduce("mae", cases) == pytest.approx((2 + 1) / 5)
    assert reduce("smape", cases) == pytest.approx((200 * 2 / 10 + 200) / 5)


def test_zero_forecast_as_zero_is_no_percentage_error():
    assert reduce("smape", [forecast([0.0], [0.0])]) == 0.0


def test_missing_truth_does_not_count():
    assert reduce("mse", [forecast([math.nan, 1.0], [5.0, 3.0])]) == 4.0


@pytest.mark.parametrize(("values", "message"), [([1.0, 2.0, 3.0], "wants"), ([math.nan, 1.0], "holds NaN")])
def test_a_forecast_of_wrong_shape_or_nan_is_named(values, message):
    with pytest.raises(HarnessError, match=message):
        reduce("mse", [forecast([1.0, 2.0], values)])


SCRIPT = """
import datasets
import evaluate


class Shout(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="",
            features=datasets.Features({"predictions": datasets.Value(VALUE), "references": datasets.Value(VALUE)}),
        )

    def _compute(self, predictions, references):
        return {"share": sum(a == b for a, b in zip(predictions, references)) / len(references)}
"""


@pytest.mark.parametrize(("level", "kind"), [("example", "string"), ("corpus", "int64")])
def test_a_local_script_of_the_evaluate_library_is_a_metric(tmp_path, monkeypatch, level, kind):
    pytest.importorskip("evaluate")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / f"shout_{kind}"
    folder.mkdir()
    (folder / f"shout_{kind}.py").write_text(SCRIPT.replace("VALUE", repr(kind)), encoding="utf-8")
    spec = f"evaluate:path={folder},field=share,level={level}"
    if level == "example":
        cases = [(Example("a", (), "yes"), [Generated(text)]) for text in ("yes", "no", "yes", "yes")]
    else:
        cases = [labelled(1, scores) for scores in ([0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 3, 0])]
    assert reduce(spec, cases) == 0.75
    assert create(spec).signature.startswith(f"evaluate:shout_{kind}.share|level:{level}|script:")
    with pytest.raises(UsageError, match="gives share, not 'f1'"):
        reduce(spec.replace("share", "f1"), cases)


def test_a_hub_name_is_never_fetched():
    with pytest.raises(UsageError, match="local copy"):
        create("evaluate:path=accuracy,field=accuracy").signature  # noqa: B018
