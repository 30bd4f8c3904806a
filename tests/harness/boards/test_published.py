"""The committed leaderboards are what `harness publish` writes from the committed records, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.boards import markdown, records, site
from harness.boards.tables import boards
from harness.commands.publish import between

ROOT = Path(__file__).parents[3]
BOARDS = ROOT / "leaderboards"


@pytest.fixture(scope="module")
def shelf() -> records.Shelf:
    return records.load_all(BOARDS / "records")


@pytest.fixture(scope="module")
def written(shelf: records.Shelf) -> dict[str, str]:
    return site.build(shelf)


def test_every_record_can_be_read(shelf):
    assert shelf.problems == ()
    assert shelf.records


def test_every_record_lies_where_its_signature_says(shelf):
    lying = {str(file.relative_to(BOARDS / "records")) for file in (BOARDS / "records").rglob("*.json")}
    assert lying == {str(records.path_of(record)) for record in shelf.records}


def test_every_page_and_plot_is_what_the_records_give(written):
    assert any(name.endswith(".svg") for name in written)
    absent = [name for name in written if not (BOARDS / name).exists()]
    differing = [
        name for name, text in written.items()
        if name not in absent and (BOARDS / name).read_text(encoding="utf-8") != text
    ]  # fmt: skip
    assert (absent, differing) == ([], []), "run `harness publish --into README.md` and commit leaderboards/"


def test_nothing_else_lies_among_the_generated_files(written):
    found = {file.relative_to(BOARDS).as_posix() for pattern in site.OWNED for file in BOARDS.glob(pattern)}
    assert found == set(written)


def test_the_readmes_tables_are_what_the_records_give(shelf):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert between(page, lambda tasks: markdown.extract(boards(shelf.current), tasks, "leaderboards")) == page


def test_a_change_by_hand_is_seen(shelf, written):
    page = (BOARDS / "keyboard.md").read_text(encoding="utf-8").replace("a", "b", 1)
    assert page != written["keyboard.md"]


def test_no_text_of_a_data_set_is_published(shelf):
    from harness.boards.excerpts import HIDDEN

    for record in shelf.records:
        generated = str(record.result.signature["data"]).startswith(("generated", "sha256:"))
        for sample in record.samples:
            assert generated or sample.question == HIDDEN
