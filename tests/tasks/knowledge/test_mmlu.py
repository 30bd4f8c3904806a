"""MMLU: the prompt letter for letter, and the refusals."""

from __future__ import annotations

import pytest

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.types import Dataset, Score
from harness.sources import DataSources
from harness.tasks.knowledge import mmlu

SUBJECT = "high_school_physics"


def rows(split: str, count: int, answer: object) -> list[dict[str, object]]:
    choices = ["one", "two", "three", "four"]
    return [
        {"split": split, "subject": SUBJECT, "question": f" {split} {n}?\n", "choices": choices, "answer": answer}
        for n in range(count)
    ]


class Rows:
    """Sources whose rows are given."""

    def __init__(self, **splits: list[dict[str, object]]) -> None:
        self.splits = splits

    def rows(self, dataset: Dataset, split: str) -> object:
        return iter(self.splits[split])

    def digest(self, dataset: Dataset, split: str) -> str:
        return split


def examples(sources: object, **parameters: object) -> list[object]:
    return list(mmlu.Mmlu(**parameters).examples("test", 0, sources))  # type: ignore[arg-type]


def test_zero_shots_leave_the_headline_and_the_question() -> None:
    (example,) = examples(Rows(dev=rows("dev", 5, "B"), test=rows("test", 1, "D")), shots=0)
    assert [request.continuation for request in example.requests] == [" A", " B", " C", " D"]
    assert example.requests[0].context == (
        "The following are multiple choice questions (with answers) about high school physics.\n\n"
        "test 0?\nA. one\nB. two\nC. three\nD. four\nAnswer:"
    )
    assert example.target == 3
    assert example.tags == {"category": "stem", "subject": SUBJECT}


def test_shots_come_solved_and_in_the_files_order() -> None:
    (example,) = examples(Rows(dev=rows("dev", 5, "B"), test=rows("test", 1, "A")), shots=2)
    context = example.requests[0].context
    assert context.count("Answer: B\n\n") == 2
    assert context.index("dev 0?") < context.index("dev 1?") < context.index("test 0?")
    assert "dev 2?" not in context


def test_an_index_from_the_hub_is_the_letters_answer() -> None:
    local, hub = rows("test", 1, "C"), rows("test", 1, 2)
    del hub[0]["split"]
    dev = rows("dev", 5, "A")
    assert examples(Rows(dev=dev, test=local))[0].target == examples(Rows(dev=dev, test=hub))[0].target == 2


@pytest.mark.parametrize(
    ("parameters", "split", "words"),
    [
        ({}, "train", "no split 'train'"),
        ({"shots": 6}, "test", "holds 5 questions"),
        ({"shots": -1}, "test", "holds 5 questions"),
        ({"subject": "alchemy"}, "test", "no subject 'alchemy'"),
    ],
)
def test_what_does_not_exist_is_refused(parameters: dict[str, object], split: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        next(mmlu.Mmlu(**parameters).examples(split, 0, Rows(dev=[], test=[])))  # type: ignore[arg-type]


def test_every_subject_has_one_category() -> None:
    assert len(mmlu.CATEGORY) == sum(len(subjects.split()) for subjects in mmlu.CATEGORIES.values()) == 57


def test_the_real_file_has_the_published_sizes(real_sources: DataSources) -> None:
    task = registry.create("task", "knowledge/mmlu")
    assert sum(1 for _ in task.examples("validation", 0, real_sources)) == 1531
    # the published test set has 14,042 questions
    test = list(task.examples("test", 0, real_sources))
    assert len(test) == len({example.id for example in test}) == 14042
    assert {example.tags["subject"] for example in test} == set(mmlu.CATEGORY)


def test_a_subject_alone_is_a_part_of_the_whole(real_sources: DataSources) -> None:
    alone = list(registry.create("task", "knowledge/mmlu:subject=virology").examples("test", 0, real_sources))
    assert len(alone) == 166
    assert isinstance(alone[0].requests[0], Score)
