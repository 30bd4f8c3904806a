"""Points of quality and speed: the front, and intervals that an axis cannot hold."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

from harness.boards.tables import boards
from harness.plots import quality_speed

sys.path.append(str(Path(__file__).parents[1] / "boards"))
from shelves import answers, field, record


def test_one_row_is_no_picture():
    assert quality_speed.draw(boards(field()[:1])) == ""


def test_the_front_leaves_out_what_another_row_beats_in_both():
    (board,) = boards(field())
    rows = quality_speed.points(board)
    faster = [(rows[0][0], 10.0), (rows[1][0], 20.0), (rows[2][0], 15.0)]
    assert [row.model for row, _ in quality_speed.front(faster)] == ["lms/near", "lms/best"]


def test_an_interval_that_reaches_nothing_is_drawn_on_a_logarithmic_axis():
    made = []
    for place, value in enumerate((0.01, 5.0)):
        one = record(answers(7, 3), f"{place:016d}", model=f"lms/{place}")
        found = replace(one.result.metrics["key_found"], value=value, low=0.0, high=2 * value, higher_is_better=False)
        made.append(replace(one, result=replace(one.result, metrics={"key_found": replace(found, scale=None)})))
    text = quality_speed.draw(boards(made))
    assert ElementTree.fromstring(text).attrib["role"] == "img"
    assert "nan" not in text
