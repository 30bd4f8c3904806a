"""Pairs in text: the answer stands in the prompt once a showing, and every choice was shown."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.types import Example, Score
from harness.sources import DataSources


def drawn(spec: str, sources: DataSources) -> list[Example]:
    return list(registry.create("task", f"recall/associative_recall:{spec}").examples("test", 0, sources))


@pytest.mark.parametrize("repeats", [1, 3])
def test_the_asked_pair_is_shown_and_the_choices_are_all_shown_objects(repeats: int, no_data: DataSources) -> None:
    for item in drawn(f"pairs=5,repeats={repeats},samples=20", no_data):
        scores = [request for request in item.requests if isinstance(request, Score)]
        assert len({request.context for request in scores}) == 1
        lines = scores[0].context.split("\n")[1:]
        asked, shown = lines[-1], [line.split(" - ") for line in lines[:-1]]
        assert asked.endswith(" -")
        assert Counter(thing for _, thing in shown) == dict.fromkeys((r.continuation.strip() for r in scores), repeats)
        right = {thing for name, thing in shown if name == asked.removesuffix(" -")}
        assert right == {scores[item.target].continuation.strip()}


def test_every_place_is_asked_about_as_often(no_data: DataSources) -> None:
    counts = Counter(item.target for item in drawn("pairs=4,samples=400", no_data))
    # 100 expected, a standard deviation of 8.7
    assert all(60 < counts[place] < 140 for place in range(4))
    thirds = Counter(item.tags["third"] for item in drawn("pairs=6,samples=300", no_data))
    assert set(thirds) == {"first", "middle", "last"}


@pytest.mark.parametrize("spec", ["pairs=1", "pairs=27", "repeats=0", "samples=0"])
def test_lists_without_a_choice_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        registry.create("task", f"recall/associative_recall:{spec}")
