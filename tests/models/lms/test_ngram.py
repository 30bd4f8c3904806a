"""The n-gram model: Kneser-Ney against its formula, laws that sum to 1, spelled words, bad input, both doors."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Failure, Generate, Generated, Score, Scored, Want
from harness.models.lms._kneser_ney import KneserNey
from harness.models.lms._word_pieces import pieces
from harness.sources import DataSources

TEXTS = [
    "",
    "a",
    "Hello, World!",
    "\x00",
    "😀👍🏽",
    "\ud800 lone",
    "\u200fمرحبا بكم",
    "don't\n\n stop_it 123",
    "x" * 300,
]


@pytest.fixture(scope="module")
def loaded() -> Any:
    return registry.create("model", "lms/ngram").load(Setting(DataSources(None, online=False)))


def sequences(count: int = 60, vocabulary: int = 9, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    law = rng.dirichlet(np.full(vocabulary - 1, 0.3), size=vocabulary)
    result = []
    for _ in range(count):
        chain = [0]
        for _ in range(int(rng.integers(1, 12))):
            chain.append(1 + int(rng.choice(vocabulary - 1, p=law[chain[-1]])))
        result.append(np.array(chain[1:]))
    return result


def by_the_book(data: list[Any], vocabulary: int, order: int, history: tuple[int, ...], word: int) -> float:
    """Chen and Goodman's equations with dictionaries, one probability at a time."""

    def grams(length: int) -> Counter[tuple[int, ...]]:
        found: Counter[tuple[int, ...]] = Counter()
        for sequence in data:
            padded = [0] * (order - 1) + [int(item) for item in sequence] + [0]
            for place in range(order - 1, len(padded)):
                found[tuple(padded[place - length + 1 : place + 1])] += 1
        return found

    def counts(length: int) -> Counter[tuple[int, ...]]:
        return grams(length) if length == order else Counter(gram[1:] for gram in grams(length + 1))

    lower = 1 / vocabulary
    for length in range(1, order + 1):
        table = counts(length)
        of = [sum(value == number for value in table.values()) for number in range(5)]
        if min(of[1:4]) == 0:
            discount = [0.0, 0.5, 0.5, 0.5]
        else:
            share = of[1] / (of[1] + 2 * of[2])
            raw = [1 - 2 * share * of[2] / of[1], 2 - 3 * share * of[3] / of[2], 3 - 4 * share * of[4] / of[3]]
            discount = [0.0] + [min(max(value, 0.05), number) for number, value in enumerate(raw, 1)]
        context = ((0,) * order + history)[len(history) + order - length + 1 :] if length > 1 else ()
        inside = {gram[-1]: value for gram, value in table.items() if gram[:-1] == context}
        if not inside:
            continue
        total = sum(inside.values())
        left = sum(discount[min(value, 3)] for value in inside.values()) / total
        seen = inside.get(word, 0)
        lower = max(seen - discount[min(seen, 3)], 0.0) / total + left * lower
    return lower


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_are_those_of_the_published_equations(order: int) -> None:
    data = sequences()
    model = KneserNey(data, 9, order)
    for history in [(), (1,), (2, 3), (4, 4, 4), (8, 1, 2, 3)]:
        law = model.law(history)
        expected = [by_the_book(data, 9, order, history, word) for word in range(9)]
        assert law == pytest.approx(expected, abs=1e-12)
        assert [model.probability(history, word) for word in range(9)] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("order", [1, 3, 5])
@pytest.mark.parametrize("count", [0, 1, 200])
def test_laws_sum_to_one_and_leave_nothing_impossible(order: int, count: int) -> None:
    model = KneserNey(sequences(count), 9, order)
    for history in [(), (1, 2, 3, 4), (5,), (0, 0)]:
        law = model.law(history)
        assert law.sum() == pytest.approx(1.0, abs=1e-12)
        assert law.min() > 0.0


def test_more_context_predicts_the_documentation_better() -> None:
    law = {
        order: registry.create("model", f"lms/ngram:order={order}").load(Setting(DataSources(None)))
        for order in (1, 2, 4)
    }
    text = "The following statement is executed when an exception is raised in the body of a function."
    totals = [law[order].score([Score("", text)], meter=SilentMeter())[0].total for order in (1, 2, 4)]
    assert totals == sorted(totals)


def test_every_next_token_law_sums_to_one(loaded: Any) -> None:
    words = loaded.law.pieces
    for text in ("", "The statement", "Xyzzyq", "the \x00"):
        ids = words.encode(text)
        for cut in range(len(ids) + 1):
            law = loaded.law.law(ids[:cut])
            assert law.sum() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_concatenate_to_the_text(loaded: Any, text: str) -> None:
    assert "".join(piece for piece, _ in pieces(text)) == text
    if text.isprintable() and "\ud800" not in text:
        assert loaded.law.pieces.decode(loaded.law.pieces.encode(text)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_has_a_probability_and_spans_that_cover_it(loaded: Any, text: str) -> None:
    [answer] = loaded.score([Score("Context", text)], meter=SilentMeter())
    assert isinstance(answer, Scored)
    assert all(math.isfinite(logprob) and logprob < 0.0 for logprob in answer.logprobs)
    assert [start for start, _ in answer.spans] == [0, *(end for _, end in answer.spans)][: len(answer.spans)]
    assert not text or answer.spans[-1][1] == len(text)


def test_a_scored_text_is_the_product_of_the_laws_that_a_decoder_sees(loaded: Any) -> None:
    words, context, text = loaded.law.pieces, "The statement", " Zyxw is executed, too."
    ids = words.encode(context)
    total = 0.0
    for token in words.encode(text):
        total += math.log(loaded.law.law(ids)[token])
        ids.append(token)
    [answer] = loaded.score([Score(context, text)], meter=SilentMeter())
    assert answer.total == pytest.approx(total, abs=1e-9)


def test_the_likeliest_continuation_is_called_greedy(loaded: Any) -> None:
    [told] = loaded.generate(
        [Generate("The statement is", 8)],
        decoder=registry.create("decoder", "greedy"), seeds=[0], meter=SilentMeter(),
    )  # fmt: skip
    assert told.text
    good, bad = loaded.score(
        [Score("The statement is", told.text), Score("The statement is", " zebra")], meter=SilentMeter()
    )
    assert (good.greedy, bad.greedy) == (True, False)


def test_company_and_order_change_no_answer(loaded: Any) -> None:
    questions = [Score("", text) for text in TEXTS]
    together = loaded.score(questions, meter=SilentMeter())
    alone = [loaded.score([question], meter=SilentMeter())[0] for question in reversed(questions)]
    assert together == alone[::-1]


def test_steps_rewinds_and_trees_agree_with_the_law(loaded: Any) -> None:
    lm, ids = loaded.law, loaded.law.pieces.encode("The statement is executed in the body of a loop.")
    whole = lm.step(lm.start(1, 64), [ids], Want("all")).logits[0]
    state = lm.step(lm.start(2, 64), [ids[:3], ids[:5]]).state
    step = lm.step(lm.rewind(state, [3, 2]), [ids[3:4], ids[2:4]])
    assert lm.length(step.state) == [4, 4]
    assert step.logits[:, 0].tolist() == [whole[3].tolist()] * 2
    tree = lm.step(lm.rewind(step.state, [3, 3]), [[ids[3], ids[9], ids[4]]] * 2, Want("all"), [[-1, -1, 0]] * 2)
    assert tree.logits[0, 2].tolist() == whole[4].tolist()
    kept = lm.keep_path(tree.state, [[0, 2], [1]])
    assert lm.length(kept) == [5, 4]
    assert lm.length(lm.select(kept, [1, 1, 0])) == [4, 4, 5]
    with pytest.raises(UsageError, match="hidden"):
        lm.step(kept, [[1], [1]], Want(hidden=(0,)))


def test_generation_stops_at_a_stop_string_and_refuses_arrays(loaded: Any) -> None:
    greedy = registry.create("decoder", "greedy")
    free, cut, array = loaded.generate(
        [Generate("The", 20), Generate("The", 20, stop=(" ",)), Generate(np.zeros((2, 3)), 5)],
        decoder=greedy, seeds=[0, 0, 0], meter=SilentMeter(),
    )  # fmt: skip
    assert isinstance(free, Generated)
    assert isinstance(cut, Generated)
    assert (" " in free.text, " " in cut.text, cut.finished) == (True, False, "stop")
    assert isinstance(array, Failure)


def test_a_corpus_of_ones_own_changes_model_and_fingerprint(tmp_path: Path) -> None:
    corpus = tmp_path / "tale.txt"
    corpus.write_text("the cat sat on the mat\n\nthe cat sat on the hat\n", encoding="utf-8")
    own, setting = registry.create("model", f"lms/ngram:order=3,corpus={corpus}"), Setting(DataSources(None))
    assert own.fingerprint(setting) != registry.create("model", "lms/ngram").fingerprint(setting)
    cat, dog = own.load(setting).score([Score("the", " cat"), Score("the", " dog")], meter=SilentMeter())
    assert cat.total > math.log(0.3)
    assert cat.total > dog.total


@pytest.mark.parametrize("content", [b"", b" \n\n ", b"\xff\xfe\xfa"])
def test_a_corpus_without_text_is_refused(tmp_path: Path, content: bytes) -> None:
    corpus = tmp_path / "bad.txt"
    corpus.write_bytes(content)
    with pytest.raises(DataError, match="corpus"):
        registry.create("model", f"lms/ngram:corpus={corpus}").load(Setting(DataSources(None)))


def test_a_missing_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.txt"):
        registry.create("model", f"lms/ngram:corpus={tmp_path / 'absent.txt'}").load(Setting(DataSources(None)))


@pytest.mark.parametrize("wrong", ["order=0", "order=9", "at_least=1"])
def test_sizes_that_do_not_work_are_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="lms/ngram"):
        registry.create("model", f"lms/ngram:{wrong}")


@pytest.mark.parametrize("kind", ["arbitrary", "semantic"])
def test_a_model_without_memory_shows_no_recall(loaded: Any, no_data: DataSources, kind: str) -> None:
    task = registry.create("task", f"recall/noun_list:type={kind}")
    examples = list(task.examples("test", 0, no_data))[:207]
    answers = loaded.score([example.requests[0] for example in examples], meter=SilentMeter())
    for metric in task.metrics:
        rows = np.stack([metric.measure(example, (answer,)) for example, answer in zip(examples, answers, strict=True)])
        assert metric.reduce(rows[~np.isnan(rows).all(axis=1)]) == pytest.approx(100.0, abs=5.0)
