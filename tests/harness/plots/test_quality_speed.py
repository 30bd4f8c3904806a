"""Points of quality and speed: the front, and intervals that an axis cannot hold."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from harness.boards.tables import boards
from harness.plots import quality_speed
from harness.plots.drawing import BUSY_TOLD

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


def test_names_timed_on_a_busy_machine_are_marked_beside_others_and_not_where_all_are():
    def drawn(*loads: float) -> str:
        made = [
            replace(one, result=replace(one.result, environment={**one.result.environment, "load": load}))
            for one, load in zip(field(), loads, strict=True)
        ]
        return quality_speed.draw(boards(made))

    # weak, near, best
    mixed = drawn(9.0, 0.5, 0.5)
    assert re.findall(r">(weak|near|best)( †)?</text>", mixed) == [("best", ""), ("near", ""), ("weak", " †")]
    assert BUSY_TOLD in mixed
    for text in (drawn(0.5, 0.5, 0.5), drawn(9.0, 9.0, 9.0)):
        assert "†" not in text
    assert "(busy machine)" in drawn(9.0, 9.0, 9.0)


def test_points_grow_with_the_logarithm_of_the_state() -> None:
    (board,) = boards(field())
    held = [100.0, 10_000.0, 1_000.0]
    found = [
        (replace(row, state_bytes=size), speed)
        for (row, speed), size in zip(quality_speed.points(board), held, strict=True)
    ]
    small, large, middle = quality_speed.radii(found).values()
    assert (small, large) == (quality_speed.SMALLEST, quality_speed.LARGEST)
    assert middle == pytest.approx((small + large) / 2)


def test_no_bytes_are_the_smallest_point_and_no_state_is_a_cross() -> None:
    (board,) = boards(field())
    rows = [replace(row, state_bytes=size) for row, size in zip(board.rows, (0.0, 4096.0, None), strict=True)]
    found = [(row, 1.0) for row in rows]
    assert list(quality_speed.radii(found).values()) == [quality_speed.SMALLEST] * 2
    text = quality_speed.draw([replace(board, rows=rows)])
    assert "bytes of its state, 0 B to 4 KiB, cross: none that can be carried" in text


def test_one_state_for_all_says_nothing_by_size() -> None:
    (board,) = boards(field())
    assert quality_speed.radii([(replace(row, state_bytes=64.0), 1.0) for row in board.rows]) == {}
    assert "bytes of its state" not in quality_speed.draw([board])


def test_a_crowd_takes_the_whole_width_and_a_row_of_its_own() -> None:
    many = [record(answers(7, 3), f"{place:016d}", model=f"lms/{place}") for place in range(quality_speed.CROWD)]
    few, crowd = boards(field())[0], replace(boards(many)[0], task="recall/other")
    assert (
        width(quality_speed.draw([few])) < width(quality_speed.draw([crowd])) == width(quality_speed.draw([crowd, few]))
    )


def width(text: str) -> float:
    return float(ElementTree.fromstring(text).attrib["viewBox"].split()[2])
