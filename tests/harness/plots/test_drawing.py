"""Shapes become a picture that is well formed, the same every time, and holds no markup of anyone's text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import pytest

from harness.plots.axes import Axis
from harness.plots.drawing import Band, Box, Dots, Key, Note, Panel, Shape, Stroke, text_width, to_svg

SVG = "{http://www.w3.org/2000/svg}"
UNIT = Axis("x", 0.0, 1.0)
NAN = float("nan")


def panel(*shapes: Shape, legend: Sequence[Key] = ()) -> Panel:
    return Panel(title=["a panel"], x=UNIT, y=UNIT, shapes=shapes, legend=legend)


def paths(svg: str, kind: str) -> list[str]:
    return re.findall(rf'<path class="{kind}[^"]*" d="([^"]*)"', svg)


def test_a_panel_without_shapes_has_its_axes():
    root = ElementTree.fromstring(to_svg([panel()], "empty", "nothing"))
    assert [found.text for found in root.findall(f"{SVG}title")] == ["empty"]
    assert root.findall(f"{SVG}path")


def test_the_same_shapes_give_the_same_bytes():
    shapes = [Stroke([(0, 0), (1, 1)], "c0"), Dots([(0.5, 0.5)], "c1"), Band([(0, 0, 1), (1, 0, 1)], "c2")]
    assert to_svg([panel(*shapes)], "t", "d") == to_svg([panel(*shapes)], "t", "d")


def test_texts_of_others_stay_texts():
    odd = '<script>alert(1)</script>&"'
    svg = to_svg([panel(Note((0, 0), odd), legend=[Key(odd, "c0")])], odd, odd)
    root = ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert odd in [found.text for found in root.iter(f"{SVG}text")]


def test_a_line_is_broken_where_a_number_is_not_known():
    svg = to_svg([panel(Stroke([(0, 0), (0.1, 0.1), (0.2, NAN), (0.3, 0.3), (0.4, 0.4)], "c0"))], "t", "d")
    assert len(paths(svg, "c0")) == 2


def test_a_lone_point_makes_no_line_and_unknown_points_make_no_mark():
    svg = to_svg([panel(Stroke([(0.5, 0.5)], "c0"), Dots([(NAN, 0.5)], "c1"), Band([(0, NAN, 1)], "c2"))], "t", "d")
    assert [paths(svg, kind) for kind in ("c0", "c1", "band c2")] == [[], [], []]


@pytest.mark.parametrize("mark", ["disc", "square", "up", "diamond", "down", "plus", "cross", "star"])
def test_every_mark_can_be_drawn(mark):
    assert paths(to_svg([panel(Dots([(0.5, 0.5)], "c0", mark))], "t", "d"), "c0")


def test_a_box_lies_between_its_corners_however_they_are_given():
    first = to_svg([panel(Box((0.2, 0.2), (0.6, 0.8), "c0"))], "t", "d")
    assert first == to_svg([panel(Box((0.6, 0.8), (0.2, 0.2), "c0"))], "t", "d")


def test_a_legend_that_is_too_wide_goes_on_below_and_the_picture_grows():
    def height(count: int) -> float:
        keys = [Key("a rather long name of a contestant", "c0", "disc")] * count
        return float(ElementTree.fromstring(to_svg([panel(legend=keys)], "t", "d")).attrib["height"])

    assert height(1) < height(3) < height(6)


def test_panels_stand_in_rows():
    one, two, three = (ElementTree.fromstring(to_svg([panel()] * count, "t", "d")).attrib for count in (1, 2, 3))
    assert float(two["width"]) > float(one["width"])
    assert two["width"] == three["width"]
    assert float(three["height"]) > float(two["height"]) == float(one["height"])


def test_wide_letters_take_more_room():
    assert text_width("iii") < text_width("aaa") < text_width("MMM")
