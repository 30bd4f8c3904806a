"""Does a row leave the ranking when its contestant has come to mean something else?"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from harness import parts
from harness.boards.records import Record, with_superseded
from harness.boards.versions import outdated

sys.path.append(str(Path(__file__).parent))

from shelves import answers, record

MENDED = "sequence/mamba2"  # at its second version or later
NOW = parts.versions([parts.resolve("model", MENDED)])


def signed(model: str, versions: dict[str, int] | None) -> Record:
    made = record(answers(6, 4), "a" * 16, model=model)
    signature = made.result.signature | ({} if versions is None else {"versions": versions})
    return replace(made, result=replace(made.result, signature=signature))


def test_a_mended_mixer_states_its_version() -> None:
    assert NOW[f"model {MENDED}"] >= 2


def test_a_record_of_the_first_version_is_superseded_by_the_one_of_today() -> None:
    (row,) = with_superseded([signed(MENDED, None)])
    assert row.superseded_by == f"version {NOW[f'model {MENDED}']} of {MENDED}"


def test_a_record_of_todays_version_is_current() -> None:
    (row,) = with_superseded([signed(MENDED, NOW)])
    assert row.superseded_by == ""


def test_a_contestant_that_is_not_installed_is_taken_at_its_word() -> None:
    assert outdated(signed("theirs/unknown", None).result) == ""
