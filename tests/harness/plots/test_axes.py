"""Numbers stand where they should on an axis, and round numbers are told beside them."""

from __future__ import annotations

import math

import pytest

from harness.plots.axes import Axis, spanning


def test_nothing_known_still_gives_an_axis():
    axis = spanning("x", [math.nan])
    assert axis.low < axis.high
    assert axis.ticks()


def test_one_number_stands_in_the_middle():
    for base in (0, 10):
        assert spanning("x", [5.0], base=base).place(5.0) == pytest.approx(0.5)


def test_the_ends_are_zero_and_one_and_a_flipped_axis_runs_backwards():
    axis = Axis("x", 2.0, 4.0)
    assert [axis.place(value) for value in (2.0, 3.0, 4.0)] == [0.0, 0.5, 1.0]
    assert Axis("x", 2.0, 4.0, flipped=True).place(4.0) == 0.0
    assert Axis("x", 1.0, 100.0, base=10).place(10.0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("axis", "told"),
    [
        (Axis("x", 0.0, 1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Axis("x", -0.05, 0.31), ["0", "0.1", "0.2", "0.3"]),
        (Axis("x", 0.0, 3000.0), ["0", "500", "1k", "1.5k", "2k", "2.5k", "3k"]),
        (Axis("x", 0.9, 1100.0, base=10), ["1", "10", "100", "1k"]),
        (Axis("x", 0.9, 6.0, base=10), ["1", "2", "5"]),
        (Axis("x", 500.0, 5000.0, base=2), ["512", "1024", "2048", "4096"]),
        (Axis("x", 1.0, 2.0**20, base=2), ["1", "8", "64", "512", "4096", "32768", "262144"]),
    ],
)
def test_ticks_are_round_numbers_inside_the_axis(axis, told):
    assert [text for _, text in axis.ticks()] == told
    assert all(axis.low <= value <= axis.high for value, _ in axis.ticks())


def test_values_without_a_logarithm_do_not_stretch_the_axis():
    axis = spanning("x", [0.0, -1.0, 10.0, 1000.0], base=10, margin=0.0)
    assert (axis.low, axis.high) == (10.0, 1000.0)
