"""Text metrics equal sacrebleu, jiwer and rouge-score to 1e-9 on awkward texts; degenerate cases first."""

from __future__ import annotations

import random
from importlib import metadata

import jiwer
import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.significance import PairedTest

from harness.api import registry
from harness.api.errors import HarnessError
from harness.api.types import Example, Generate, Generated, Labelled
from harness.metrics._edit_distance import edit_distance
from harness.paired import randomisation
from harness.stats import interval, resample

TEXT = (
    "the cat sat on a mat while it rained; Zürich naïve café 東京 is hot , and the dog barked twice . 3.5 % of $40 "
    "don't won't e-mail über straße Привет мир 😀 the of to in and said market shares fell Monday"
)
WORDS = TEXT.split()


def corpus(count: int = 120, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    """Hypotheses with drops, swaps and repeats, some of them empty, against two references each."""
    rng = random.Random(seed)
    hypotheses, references = [], []
    for row in range(count):
        first = [rng.choice(WORDS) for _ in range(rng.randint(1, 25))]
        second = [word for word in first if rng.random() > 0.15] or ["x"]
        guess = [rng.choice(WORDS) if rng.random() < 0.3 else word for word in first if rng.random() > 0.1]
        hypotheses.append("" if row % 17 == 3 else " ".join(guess))
        references.append([" ".join(first), " ".join(second)])
    return hypotheses, references


def measure(spec: str, hypotheses: list[str], targets: list, sources: list[str] | None = None):
    metric = registry.create("metric", spec)
    rows = [
        metric.measure(
            Example(str(row), (Generate(sources[row] if sources else "q", 9),), target), [Generated(hypothesis)]
        )
        for row, (hypothesis, target) in enumerate(zip(hypotheses, targets, strict=True))
    ]
    return metric, np.array(rows)


def value(spec: str, hypotheses: list[str], targets: list, sources: list[str] | None = None) -> float:
    metric, statistics = measure(spec, hypotheses, targets, sources)
    return metric.reduce(statistics)


@pytest.mark.parametrize("spec", ["bleu", "chrf", "ter", "cer", "wer", "rouge", "length_ratio"])
def test_an_empty_generation_is_measured_and_finite(spec):
    assert np.isfinite(value(spec, [""], ["a real reference ."]))


@pytest.mark.parametrize(
    ("spec", "best"),
    [
        ("bleu", 100.0),
        ("chrf:word_order=2", 100.0),
        ("ter", 0.0),
        ("cer", 0.0),
        ("wer", 0.0),
        ("word_accuracy", 1.0),
        ("rouge:which=Lsum", 100.0),
        ("length_ratio", 1.0),
        ("sequence_accuracy", 1.0),
        ("empty_rate", 0.0),
    ],
)
def test_the_reference_itself_reaches_the_ceiling(spec, best):
    _, references = corpus(30)
    plain = [f"{pair[0]} and some more words" for pair in references]
    metric, statistics = measure(spec, plain, plain)
    assert metric.reduce(statistics) == pytest.approx(best)
    assert metric.scale is None or metric.scale[1] == best


@pytest.mark.parametrize(
    ("spec", "theirs"),
    [
        ("bleu:references=2", sacrebleu.BLEU()),
        ("bleu:references=2,lowercase=true,tokenize=intl", sacrebleu.BLEU(lowercase=True, tokenize="intl")),
        ("bleu:references=2,tokenize=char", sacrebleu.BLEU(tokenize="char")),
        ("chrf:references=2", sacrebleu.CHRF()),
        ("chrf:references=2,word_order=2", sacrebleu.CHRF(word_order=2)),
        ("ter:references=2", sacrebleu.TER()),
    ],
)
def test_corpus_score_and_signature_equal_sacrebleu(spec, theirs):
    hypotheses, references = corpus()
    metric, statistics = measure(spec, hypotheses, references)
    expected = theirs.corpus_score(hypotheses, [list(side) for side in zip(*references, strict=True)])
    assert metric.reduce(statistics) == pytest.approx(expected.score, abs=1e-9)
    assert metric.signature == str(theirs.get_signature())


@pytest.mark.parametrize("spec", ["bleu", "chrf", "ter"])
def test_one_reference_and_an_identical_resample_give_the_same_value(spec):
    hypotheses, references = corpus(40)
    metric, statistics = measure(spec, hypotheses, [pair[0] for pair in references])
    draws = np.tile(np.arange(40), (3, 1))
    assert metric.resample(statistics, draws) == pytest.approx(metric.reduce(statistics), abs=1e-9)


def test_length_ratio_equals_sacrebleu():
    hypotheses, references = corpus()
    expected = sacrebleu.BLEU().corpus_score(hypotheses, [list(side) for side in zip(*references, strict=True)])
    assert value("length_ratio", hypotheses, references) == pytest.approx(expected.ratio, abs=1e-12)


def test_a_wrong_number_of_references_is_named():
    with pytest.raises(HarnessError, match="references is 1 but example '0' has 2"):
        measure("bleu", ["a"], [["a", "b"]])


def test_bleu_interval_and_paired_test_agree_with_sacrebleu():
    hypotheses, references = corpus(150)
    targets = [pair[0] for pair in references]
    rng = random.Random(3)
    other = [
        " ".join(rng.choice(WORDS) if rng.random() < 0.36 else word for word in target.split()) for target in targets
    ]
    metric, first = measure("bleu", hypotheses, targets)
    _, second = measure("bleu", other, targets)
    theirs = sacrebleu.BLEU().corpus_score(hypotheses, [targets], n_bootstrap=2000)
    low, high = interval(metric, first, draws=2000)
    assert (high - low) / 2 == pytest.approx(theirs._ci, rel=0.12)
    values = resample(metric, [first, second], draws=1000)
    distances = np.abs(values[1] - values[0])
    observed = abs(metric.reduce(second) - metric.reduce(first))
    # sacrebleu's bootstrap looks at one side only, so that the values are compared and not our two-sided p
    one_sided = ((distances - distances.mean() > observed).sum() + 1) / 1001
    systems = [("first", hypotheses), ("second", other)]
    found = {"bs": one_sided, "ar": randomisation(metric, first, second)}
    for kind, ours in found.items():
        _, scores = PairedTest(systems, {"BLEU": sacrebleu.BLEU()}, [targets], kind, 1000)()
        assert 0.05 < ours < 0.95
        assert scores["BLEU"][1].p_value == pytest.approx(ours, abs=0.05)


@given(st.text("abcé😀 ", max_size=40), st.text("abcé😀 ", max_size=40))
def test_edit_distance_equals_the_textbook_table(first, second):
    row = list(range(len(second) + 1))
    for i, left in enumerate(first, 1):
        previous, row[0] = row[0], i
        for j, right in enumerate(second, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
    assert edit_distance(first, second) == row[-1]


def test_error_rates_equal_jiwer():
    hypotheses, references = corpus()
    targets = [pair[0] for pair in references]
    assert value("cer", hypotheses, targets) == pytest.approx(jiwer.cer(targets, hypotheses), abs=1e-12)
    assert value("wer", hypotheses, targets) == pytest.approx(jiwer.wer(targets, hypotheses), abs=1e-12)
    assert value("word_accuracy", hypotheses, targets) == pytest.approx(1 - jiwer.wer(targets, hypotheses), abs=1e-12)


def test_error_rates_are_summed_before_dividing():
    assert value("cer", ["ab", "x"], ["ab", "y"]) == pytest.approx(1 / 3)


def test_an_empty_reference_counts_its_insertions():
    assert value("cer", ["abc"], [""]) == jiwer.cer("", "abc") == 3.0
    assert value("cer", ["abc", "ab"], ["", "ab"]) == jiwer.cer(["", "ab"], ["abc", "ab"])


def test_composed_and_decomposed_accents_are_equal_only_on_request():
    assert value("cer", ["cafe\u0301"], ["caf\u00e9"]) > 0
    assert value("cer:unicode=NFC", ["cafe\u0301"], ["caf\u00e9"]) == 0.0


def test_the_nearest_of_several_references_counts():
    assert value("wer", ["a b c d"], [["x y", "a b c"]]) == pytest.approx(1 / 3)


@pytest.mark.parametrize("which", ["1", "2", "L", "Lsum"])
@pytest.mark.parametrize("stem", ["true", "false"])
def test_rouge_equals_rouge_score(which, stem):
    hypotheses, references = corpus(60)
    lines = [guess.replace(" . ", " .\n") for guess in hypotheses]
    # rouge-score's own tokens refuse a reference without one
    pairs = [[f"{text} end".replace(" . ", " .\n") for text in pair] for pair in references]
    scorer = RougeScorer([f"rouge{which}"], use_stemmer=stem == "true")
    best = [scorer.score_multi(pair, guess)[f"rouge{which}"].fmeasure for pair, guess in zip(pairs, lines, strict=True)]
    single = [
        [scorer.score(text, guess)[f"rouge{which}"].fmeasure for text in pair]
        for pair, guess in zip(pairs, lines, strict=True)
    ]
    spec = f"rouge:which={which},stem={stem},sentences=line,tokens=rouge-score"
    assert value(spec, lines, pairs) == pytest.approx(100 * np.mean(best), abs=1e-9)
    assert value(spec + ",reference=mean", lines, pairs) == pytest.approx(100 * np.mean(single), abs=1e-9)


@pytest.mark.parametrize("which", ["1", "2", "L", "Lsum"])
@pytest.mark.parametrize("stem", ["true", "false"])
def test_rouge_of_ascii_equals_rouge_score_in_its_own_tokens(which, stem):
    hypotheses, references = corpus(60)
    lines = [guess.encode("ascii", "replace").decode() for guess in hypotheses]
    texts = [pair[0].encode("ascii", "replace").decode() for pair in references]
    scorer = RougeScorer([f"rouge{which}"], use_stemmer=stem == "true")
    wanted = [scorer.score(text, guess)[f"rouge{which}"].fmeasure for text, guess in zip(texts, lines, strict=True)]
    spec = f"rouge:which={which},stem={stem},sentences=line"
    assert value(spec, lines, texts) == pytest.approx(100 * np.mean(wanted), abs=1e-9)


def test_rouge_signature_states_every_rule():
    version = metadata.version("rouge-score")
    signature = registry.create("metric", "rouge:which=Lsum").signature
    assert signature == f"rougeLsum|f|tok:unicode|stem:yes|refs:best|sentences:split|rouge-score:{version}|version:2"


def test_rouge_lsum_splits_sentences_on_both_sides():
    texts = "The cat sat. The dog ran away! Did it?"
    assert value("rouge:which=Lsum", [texts], ["Did it? The cat sat. The dog ran away!"]) == pytest.approx(100.0)
    assert value("rouge:which=L", [texts], ["Did it? The cat sat. The dog ran away!"]) < 90


def test_gleu_of_a_perfect_correction_is_100_and_of_the_source_is_less():
    source, reference = "she go to school every days .", "she goes to school every day ."
    assert value("gleu", [reference], [[reference]], [source]) == pytest.approx(100.0)
    mixed = value("gleu", [reference, source], [[reference]] * 2, [source] * 2)
    assert 0 < mixed < 80


def test_gleu_of_a_worked_example():
    # orders 1..4: matches 4-1, 2-1, 1-1, 0-0 of 5, 4, 3, 2; a zero match makes the corpus score zero
    metric, statistics = measure("gleu", ["a b c d e"], [["a b x d f"]], ["a b c y z"])
    assert statistics[0].tolist() == [5, 5, 2, 5, 0, 4, 0, 3, 0, 2]
    assert metric.reduce(statistics) == 0.0


def test_gleu_counts_references_equally_often():
    source = "he like dog very much indeed"
    references = ["he likes dogs very much indeed", "he likes the dog very much indeed"]
    each = [value("gleu", [references[0]] * 40, [[reference]] * 40, [source] * 40) for reference in references]
    both = value("gleu", [references[0]] * 40, [references] * 40, [source] * 40)
    assert min(each) < both < max(each)


def test_sequence_accuracy_needs_every_position_of_a_labelling():
    metric = registry.create("metric", "sequence_accuracy")
    scores = np.array([[0.1, 0.9], [0.8, 0.2]])
    for target, expected in (([1, 0], 1.0), ([1, 1], 0.0)):
        assert metric.measure(Example("a", (), target), [Labelled(scores)])[0] == expected


def test_overlong_and_empty_generations_are_counted():
    texts = ["", "x" * 50, "fine"]
    assert value("empty_rate", texts, ["four"] * 3) == pytest.approx(1 / 3)
    assert value("overlong_rate", texts, ["four"] * 3) == pytest.approx(1 / 3)


def test_lone_surrogates_and_nul_bytes_do_not_raise():
    odd = ["a\x00b \ud800 c\u202e"]
    for spec in ("bleu", "chrf", "ter", "cer", "wer", "rouge", "sequence_accuracy", "gleu"):
        assert np.isfinite(value(spec, odd, [["a b c"]], ["a b"]))


def test_a_label_is_no_text():
    with pytest.raises(TypeError, match="bleu measures generations, not Labelled"):
        registry.create("metric", "bleu").measure(Example("a", (), "x"), [Labelled(np.zeros(2))])
