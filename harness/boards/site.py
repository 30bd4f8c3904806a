"""What files make up the leaderboards, and what is in each? Path to text, a pure function of the records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.boards import decoders, markdown, page
from harness.boards.records import Shelf
from harness.boards.suites import Suite, suites, summary
from harness.boards.tables import Board, boards, families, matrix
from harness.cache import write_whole
from harness.pairing import file_name
from harness.plots import costs, critical_difference, curves, drafting, lengths, quality_speed, wins

RECORDS = "records"
# what is drawn for a family, beside its critical-difference diagram
PICTURES: dict[str, tuple[str, Callable[[Sequence[Board]], str]]] = {
    "quality-speed": ("Quality against speed", quality_speed.draw),
    "lengths": ("Quality by length", lengths.draw),
    "costs": ("Cost against length", costs.draw),
    "curves": ("Training curves", curves.draw),
    "wins": ("Examples won, tied and lost by the best row", wins.draw),
}
# generated files below the leaderboards' folder; those that are no longer made are taken away
OWNED = ("*.md", "decoders/*.md", "plots/*.svg", "site/*.html", "site/runs/*.js")
MARK = "written by `harness publish`"  # in every generated file, so that nobody's own file is ever taken away


def build(shelf: Shelf) -> dict[str, str]:
    """Relative path -> text of every page, plot and data file."""
    found = boards(shelf.current)
    pages = families(found)
    names = {family: file_name(family) for family in pages}
    matrices = {family: matrix(group) for family, group in pages.items()}
    files: dict[str, str] = {}
    gathered: dict[str, list[Suite]] = {}
    pictured: list[Board] = []
    for family, group in pages.items():
        name = names[family]
        gathered[name], loose = suites(group)
        # a suite is one point of view: its data sets would crowd everything else out of the pictures
        whole = loose + [summary(suite) for suite in gathered[name]]
        pictured += whole
        drawn = {
            f"{name}-{kind}.svg": (what, text)
            for kind, (what, draw) in PICTURES.items()
            if (text := draw(whole if draw is quality_speed.draw else loose))
        }
        rest = matrix(loose) if gathered[name] else matrices[family]
        if diagram := critical_difference.draw(rest):
            drawn[f"{name}-critical-difference.svg"] = ("Critical-difference diagram", diagram)
        files |= {f"plots/{picture}": text for picture, (_, text) in drawn.items()}
        with_diagrams = []
        for suite in gathered[name]:
            over = f"{suite.title}, over {len(suite.places)} values of {suite.axis}"
            diagram = critical_difference.draw(suite.matrix, over)
            picture = f"{file_name(suite.title)}-critical-difference.svg" if diagram else ""
            files |= {f"plots/{picture}": diagram} if diagram else {}
            with_diagrams.append((suite, picture))
        told = {picture: what for picture, (what, _) in drawn.items()}
        files[f"{name}.md"] = markdown.family_page(family, group, rest, told, with_diagrams)
    picture = quality_speed.draw(pictured)
    if picture:
        files["plots/quality-speed.svg"] = picture
    renamed = {names[family]: group for family, group in pages.items()}
    by_name = {names[family]: found for family, found in matrices.items()}
    files["README.md"] = markdown.index_page(renamed, by_name, shelf, "quality-speed.svg" if picture else "", gathered)
    return files | _decoder_pages(found) | page.build(found, shelf)


def _decoder_pages(found: Sequence[Board]) -> dict[str, str]:
    """A page a model that was run with several decoders, and its plot."""
    files: dict[str, str] = {}
    for model, group in decoders.contests(found).items():
        name, picture = file_name(model), drafting.draw(model, group)
        plot = f"plots/decoders-{name}.svg"
        files |= {plot: picture} if picture else {}
        files[f"decoders/{name}.md"] = decoders.page(model, group, f"../{plot}" if picture else "")
    return files


def write(files: dict[str, str], folder: Path) -> None:
    """Put the files there, and take away generated ones that are no longer made."""
    for pattern in OWNED:
        for old in folder.glob(pattern):
            made_here = MARK in old.read_text(encoding="utf-8", errors="replace")
            if made_here and old.relative_to(folder).as_posix() not in files:
                old.unlink()
    for name, text in files.items():
        target = folder / name
        # an unchanged file keeps its time, so that nothing is built again for nothing
        if not target.exists() or target.read_bytes() != text.encode():
            write_whole(target, text)
            target.chmod(0o644)
