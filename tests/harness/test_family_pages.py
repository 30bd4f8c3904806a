"""Are the pages of the task families what the cards say?"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli
from harness.cards import PAGE, families, family_page, write_family_pages

TASKS = Path(__file__).parents[2] / "tasks"


@pytest.mark.parametrize("family", list(families()))
def test_a_familys_page_is_written_from_its_cards(family: str) -> None:
    stored = (TASKS / family / PAGE).read_text(encoding="utf-8")
    assert stored == family_page(family, families()[family]), "run `harness show --families tasks`"


def test_every_task_names_its_paper_and_where_it_differs() -> None:
    for cards in families().values():
        for card in cards:
            assert card.facts["paper"], card.name
            assert card.facts["differs"], card.name


def test_a_bar_in_a_fact_does_not_split_a_cell(tmp_path: Path) -> None:
    (path, *_) = write_family_pages(tmp_path)
    rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| paper")]
    assert rows
    assert all(row.replace("\\|", "").count("|") == 3 for row in rows)


def test_show_without_a_name_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show"]) == 2
    assert "needs a NAME" in capsys.readouterr().err


def test_show_writes_all_families(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "--families", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(families())


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert cli.main(["show", "--families", str(tmp_path / "file" / "below")]) == 2
    assert "cannot be written: Not a directory." in capsys.readouterr().err
