"""Is a rounded variant of a model compared with the same model's full weights, and with nothing else?"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.boards.records import Record
from harness.boards.tables import boards
from harness.boards.variants import beside_full_weights

sys.path.append(str(Path(__file__).parent))

from shelves import answers, flipped, record

ROWS = answers(700, 300)
FULL = record(ROWS, "a" * 16, model="lms/a:path=x")
ROUNDED = record(flipped(ROWS, 20), "b" * 16, model="lms/a:path=x,weights=int8")


def test_full_weights_have_nothing_beside_them() -> None:
    assert beside_full_weights(FULL, [FULL, ROUNDED]) == ""


def test_a_variant_without_its_twin_says_nothing() -> None:
    other = record(ROWS, "c" * 16, model="lms/b")
    assert beside_full_weights(ROUNDED, [ROUNDED, other]) == ""


def test_a_variant_shows_its_loss_with_a_paired_interval() -> None:
    told = beside_full_weights(ROUNDED, [FULL, ROUNDED])
    difference, low, high = (float(part.strip("[],")) for part in told.split())
    gap = ROUNDED.result.metrics["key_found"].value - FULL.result.metrics["key_found"].value
    assert difference == pytest.approx(gap, rel=1e-2)
    assert low < difference < high < 0


def test_answers_that_stayed_the_same_are_counted() -> None:
    full, rounded = (
        replace(made, outputs=tuple("ab" if number < kept else made.result.digest for number in range(1000)))
        for made, kept in ((FULL, 1000), (ROUNDED, 990))
    )
    assert beside_full_weights(rounded, [full, rounded]).endswith(", 990/1000 answers")


@pytest.mark.parametrize("changes", [{"dtype": "bfloat16"}, {"weights": {"weights": "other"}}])
def test_another_precision_or_checkpoint_is_no_twin(changes: dict[str, Any]) -> None:
    result = FULL.result
    other: Record = replace(FULL, result=replace(result, signature={**result.signature, **changes}))
    assert beside_full_weights(ROUNDED, [other, ROUNDED]) == ""


def test_the_row_of_a_board_holds_the_column() -> None:
    (board,) = boards([FULL, ROUNDED])
    told = {row.model: row.full for row in board.rows}
    assert told["lms/a:path=x"] == ""
    assert told["lms/a:path=x,weights=int8"].startswith("-")
