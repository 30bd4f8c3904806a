"""No text, whatever a model wrote, steers a terminal, breaks a table or hides what follows it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as some

from harness.terminal import UNSAFE, columns, plain, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain", "plain"),
        ("naïve 🙂 日本", "naïve 🙂 日本"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\r\tand a tab", "two\\nlines\\r\\tand a tab"),
        ("nul\x00", "nul\\x00"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("lone \ud800", "lone \\ud800"),
        ("\u2028", "\\u2028"),
        ("family 👩‍👧", "family 👩‍👧"),
    ],
)
def test_what_could_steer_a_terminal_is_written_as_its_escape(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_long_text_is_cut_with_an_ellipsis() -> None:
    assert plain("x" * 10_000, 5) == "xxxx…"
    assert plain("x" * 5, 5) == "xxxxx"


@given(some.text(some.characters(codec=None), max_size=30))
def test_no_text_leaves_an_unsafe_character(text: str) -> None:
    assert not [letter for letter in plain(text) if letter != "\u200d" and unicodedata.category(letter) in UNSAFE]


@given(some.lists(some.text(some.characters(codec=None), max_size=20), min_size=1, max_size=4))
def test_a_table_has_one_line_a_row_whatever_its_cells_hold(cells: list[str]) -> None:
    shown = table([{"a": cell, "b": "end"} for cell in cells], ["a", "b"])
    lines = shown.split("\n")
    assert len(lines) == 2 + len(cells)
    assert all(line.endswith("end") for line in lines[2:])
    assert "|" not in "".join(lines)


def test_numbers_stay_as_they_were_written() -> None:
    assert "1e5" in table([{"a": "1e5"}], ["a"])
    assert "0.10" in table([{"a": "0.10"}], ["a"])


def test_columns_align() -> None:
    assert columns([("a", "one"), ("long", "two\nlines")]) == "  a     one\n  long  two\\nlines"
