"""What is peculiar to the summarization tasks: several references, the hub's schema, and the extractive ceiling."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.types import Example, Generate, Generated
from harness.sources import DataSources, data_root
from harness.tasks.summarization._extractive import greedy, sentences

OFFLINE = DataSources(None, online=False)


def local() -> DataSources:
    root = data_root()
    if root is None or not (root / "dialogsum").is_dir():
        pytest.skip("the data folder is absent")
    return DataSources(root, online=False)


def own(folder: Path, name: str, row: dict) -> DataSources:
    (folder / "test.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    return DataSources(None, own={name: folder}, online=False)


def test_sets_are_whole():
    sources = local()
    for name, split, count in (
        ("dialogsum", "test", 500),
        ("samsum", "test", 819),
        ("scitldr", "test", 618),
        ("bbc_news", "test", 445),
        ("opinosis", "test", 51),
    ):
        task = registry.create("task", f"summarization/{name}")
        assert sum(1 for _ in task.examples(split, 0, sources)) == count, name


def test_dialogsum_has_three_references_to_test_and_one_to_learn_from():
    task = registry.create("task", "summarization/dialogsum")
    sources = local()
    assert all(len(item.target) == 3 for item in task.examples("test", 0, sources))
    assert isinstance(next(iter(task.examples("train", 0, sources))).target, str)


def test_rows_of_one_dialogue_on_the_hub_are_one_example(lay_on_hub):
    task = registry.create("task", "summarization/dialogsum")
    rows = [
        {"id": f"t{n}", "dialogue": "a: hi" if n < 3 else "b: no", "summary": f"s{n}", "topic": ""} for n in range(6)
    ]
    from harness.tasks.summarization.dialogsum import DATA

    lay_on_hub(DATA.hub, "test", rows)
    assert [item.target for item in task.examples("test", 0, OFFLINE)] == [["s0", "s1", "s2"], ["s3", "s4", "s5"]]


@pytest.mark.parametrize(
    ("name", "row", "source", "target"),
    [
        (
            "cnn_dailymail",
            {"article": "A. B.", "highlights": "A .\nB .", "id": "0f"},
            "A. B.",
            "A .\nB .",
        ),
        ("xsum", {"document": "A.\nB.", "summary": "AB.", "id": "1"}, "A.\nB.", "AB."),
        ("samsum", {"id": "1", "dialogue": "A: hi\r\nB: ho", "summary": "Hi."}, "A: hi\r\nB: ho", "Hi."),
        (
            "scitldr",
            {
                "source": ["A.", "B."],
                "source_labels": [0, 1],
                "rouge_scores": [0.1, 0.2],
                "paper_id": "x",
                "target": ["T."],
            },
            "A.\nB.",
            "T.",
        ),
        ("opinosis", {"review_sents": "A.\nB.", "summaries": ["S.", "T."]}, "A.\nB.", ["S.", "T."]),
    ],
)
def test_the_hubs_rows_become_examples(lay_on_hub, name, row, source, target):
    import importlib

    data = importlib.import_module(f"harness.tasks.summarization.{name}").DATA
    commit = lay_on_hub(data.hub, "test", [row])
    task = registry.create("task", f"summarization/{name}")
    (example,) = task.examples("test", 0, OFFLINE)
    assert (example.requests[0].source, example.target) == (source, target)
    assert commit in task.data_digest("test", OFFLINE)


def test_a_set_that_is_not_there_says_how_to_get_it():
    with pytest.raises(DataError, match="HARNESS_SOURCE=hub"):
        next(iter(registry.create("task", "summarization/xsum").examples("test", 0, OFFLINE)))


def test_a_missing_column_is_an_error_that_names_it(tmp_path):
    task = registry.create("task", "summarization/xsum")
    with pytest.raises(DataError, match="no column 'summary'"):
        list(task.examples("test", 0, own(tmp_path, "xsum", {"document": "A."})))


def test_a_dialogue_without_any_summary_is_an_error(tmp_path):
    task = registry.create("task", "summarization/dialogsum")
    with pytest.raises(DataError, match="neither summary nor summary1"):
        list(task.examples("test", 0, own(tmp_path, "dialogsum", {"dialogue": "a: hi"})))


def test_a_reference_that_is_no_text_is_an_error(tmp_path):
    task = registry.create("task", "summarization/xsum")
    with pytest.raises(DataError, match="must be a text or a list of texts, not int"):
        list(task.examples("test", 0, own(tmp_path, "xsum", {"document": "A.", "summary": 3})))


def test_a_blank_reference_stays_and_scores_nothing(tmp_path):
    task = registry.create("task", "summarization/xsum")
    (example,) = task.examples("test", 0, own(tmp_path, "xsum", {"document": "A.", "summary": " "}))
    metric = registry.create("metric", "rouge:which=1")
    assert metric.value(example, (Generated(text="A."),)) == 0.0


def test_no_article_of_bbc_news_is_learnt_from_and_tested():
    task = registry.create("task", "summarization/bbc_news")
    sources = local()
    splits = [{item.requests[0].source for item in task.examples(name, 0, sources)} for name in ("train", "test")]
    assert not splits[0] & splits[1]


def test_a_split_that_opinosis_does_not_have_is_refused():
    with pytest.raises(UsageError, match="it has test"):
        next(iter(registry.create("task", "summarization/opinosis").examples("train", 0, OFFLINE)))


def test_rouge_of_several_references_is_the_best_of_rouge_score():
    (example, *_) = islice(registry.create("task", "summarization/dialogsum").examples("test", 0, local()), 1)
    answer = "Ms. Dawson writes a memo about messages for #Person1#."
    for which in ("1", "2", "L"):
        metric = registry.create("metric", f"rouge:which={which}")
        scorer = RougeScorer([f"rouge{which}"], use_stemmer=True)
        wanted = 100 * max(scorer.score(reference, answer)[f"rouge{which}"].fmeasure for reference in example.target)
        assert metric.value(example, (Generated(text=answer),)) == pytest.approx(wanted, abs=1e-9)


class TestTheExtractiveCeiling:
    def test_nothing_is_taken_from_a_blank_source(self):
        assert greedy("", ["a summary"]) == []

    def test_nothing_is_taken_that_shares_no_word(self):
        assert greedy("one two\nthree four", ["five six"]) == []

    def test_the_sentence_that_is_the_reference_is_taken_alone(self):
        assert greedy("a b c\nd e f\ng h i", ["d e f"]) == ["d e f"]

    def test_two_halves_are_taken_in_the_sources_order(self):
        assert greedy("c d\nx y\na b", ["a b c d"]) == ["c d", "a b"]

    def test_the_reference_that_is_approached_best_counts(self):
        assert greedy("a b c\nd e f", ["a b z z z z", "d e f"]) == ["d e f"]

    def test_no_single_sentence_is_nearer_than_what_is_chosen(self):
        both = [registry.create("metric", f"rouge:which={which},stem=false") for which in "12"]

        def nearness(text: str, reference: str) -> float:
            example = Example("x", (Generate("", 1),), reference)
            return sum(metric.value(example, (Generated(text=text),)) for metric in both)

        for item in islice(registry.create("task", "summarization/scitldr").examples("test", 0, local()), 20):
            source = item.requests[0].source
            reference = item.target if isinstance(item.target, str) else item.target[0]
            best = max(nearness(part, reference) for part in sentences(source))
            # rouge-score counts bigrams across the line break too, so a hundredth is allowed
            assert nearness("\n".join(greedy(source, [reference])), reference) >= 0.99 * best
