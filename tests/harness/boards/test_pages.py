"""Markdown, page and plots stay intact whatever a record holds, and are the same bytes for the same records."""

from __future__ import annotations

import json
import random
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.boards import markdown, page, site, tables
from harness.boards.records import Record
from harness.results import Measurement, Slice

sys.path.append(str(Path(__file__).parent))
from shelves import ODD, answers, field, flipped, odd_record, record, shelf, valueless, with_lengths

DANGEROUS = ("<script>alert", "<img", "\x1b", "\u202e", "](javascript")


def many() -> list[Record]:
    return [with_lengths(field()[2]), *field()[:2], odd_record(),
            valueless(record(answers(7, 3), "e" * 16, model="lms/blank"), float("inf")),
            record(answers(9, 1), "f" * 16, origin="lm-eval", model="elsewhere/model")]  # fmt: skip


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_no_record_still_gives_an_index_and_a_page():
    assert set(site.build(shelf())) == {"README.md", "site/index.html"}


def test_the_same_records_give_the_same_bytes_in_any_order():
    shuffled = many()
    random.Random(0).shuffle(shuffled)
    assert site.build(shelf(*many())) == site.build(shelf(*shuffled))


def test_no_cell_ends_its_row_or_becomes_markup():
    text = "\n".join(text for name, text in site.build(shelf(*many())).items() if name.endswith(".md"))
    tables_found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert tables_found
    for found in tables_found:
        assert len({line.count("|") for line in found.splitlines()}) == 1
    outside_fences = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not [part for part in DANGEROUS if part in outside_fences]


def test_no_text_of_a_record_becomes_an_element_of_the_page():
    for name, text in site.build(shelf(*many(), problems=(ODD,))).items():
        if name.endswith(".html"):
            elements = Elements()
            elements.feed(text)
            assert [tag for tag, _ in elements.found].count("script") == 2
            assert not [tag for tag, _ in elements.found if tag == "img"]
            assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]


def test_a_data_file_is_one_call_with_inert_json():
    text = site.build(shelf(odd_record()))[f"site/runs/{'d' * 16}.js"]
    assert text.isascii()
    assert "<" not in text
    call = re.fullmatch(r"// .*\nreceiveRun\((\"\w+\"), (.*)\);\n", text)
    assert call
    sample = json.loads(call[2])["samples"][0]
    assert sample["question"] == ODD
    assert len(sample["answer"]) == len(ODD) + 10_000


def test_the_policy_admits_the_pages_own_script_and_no_other():
    import base64
    import hashlib

    text = page.index(tables.boards(field()))
    script = text[text.rindex("<script>") + 8 : text.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "unsafe-inline" not in text


def test_every_plot_is_well_formed_and_carries_no_markup_of_names():
    files = site.build(shelf(*many()))
    plots = {name: text for name, text in files.items() if name.endswith(".svg")}
    assert {"plots/quality-speed.svg", "plots/long_context-lengths.svg", "plots/long_context-wins.svg"} <= set(plots)
    for text in plots.values():
        root = ElementTree.fromstring(text)
        assert root.find("{http://www.w3.org/2000/svg}title") is not None
        assert not [part for part in DANGEROUS if part in text]


def test_plots_of_ranks_and_costs_appear_when_there_is_something_to_draw():
    ranks = [record(flipped(answers(80, 20), 5 * place + task), model=f"lms/{model}", task=f"x/{task}")
             for place, model in enumerate("abc") for task in range(4)]  # fmt: skip
    seconds = Measurement(1.0, 1.0, 1.0, 1, False, "s", "call_seconds")
    timed = []
    for length, taken in ((256, 1.0), (512, 4.0), (1024, 16.0)):
        base = record(answers(1, 0), task=f"kernels/scan:length={length}", model="kernels/cpu")
        measured = {"key_found": replace(seconds, value=taken)}
        parts = (Slice({"T": str(length)}, 1, measured),)
        timed.append(replace(base, result=replace(base.result, metrics=measured, breakdown=parts)))
    files = site.build(shelf(*ranks, *timed))
    assert "Friedman" in files["plots/x-critical-difference.svg"]
    assert "exponent 2.00" in files["plots/kernels-costs.svg"]


def test_a_training_curve_is_drawn_where_a_model_keeps_its_history():
    made = record(answers(7, 3))
    history = [[1, 3.0, float("nan")], [2, 2.0, 2.5]]
    files = site.build(shelf(replace(made, result=replace(made.result, identity={"history": history}))))
    assert "plots/long_context-curves.svg" in files


def test_a_history_of_one_step_noted_twice_is_no_curve():
    made = record(answers(7, 3))
    history = [[200, 3.0, 2.5], [200, 3.0, 2.5]]
    files = site.build(shelf(replace(made, result=replace(made.result, identity={"history": history}))))
    assert "plots/long_context-curves.svg" not in files


def test_speeds_of_a_busy_machine_are_marked():
    calm = field()[0]
    busy = replace(calm, result=replace(calm.result, environment={**calm.result.environment, "load": 9.0}))
    assert "10†" not in markdown.table(tables.boards([calm])[0])
    assert "10†" in markdown.table(tables.boards([busy])[0])


def test_a_decoders_answers_are_counted_against_greedys():
    greedy = replace(record(answers(7, 3), decoder="decoders/greedy"), outputs=("aa", "bb", "cc"))
    other = replace(record(answers(7, 3), decoder="decoders/lookahead"), outputs=("aa", "bb", "dd"))
    (board,) = tables.boards([greedy, other])
    assert {row.decoder: row.exact for row in board.rows} == {"decoders/greedy": "", "decoders/lookahead": "2/3"}


def test_writing_takes_away_what_is_no_longer_made_and_nothing_else(tmp_path):
    site.write(site.build(shelf(*field())), tmp_path)
    (tmp_path / "mine.md").write_text("my own page")
    site.write(site.build(shelf()), tmp_path)
    assert sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()) == [
        "README.md", "mine.md", "site/index.html",
    ]  # fmt: skip


@pytest.mark.parametrize("made", [odd_record(), field()[0]], ids=["odd", "plain"])
def test_the_command_of_a_row_is_one_safe_shell_line(made):
    import shlex

    from harness.boards.rows import command

    assert shlex.split(command(made.result))[5] == made.result.model
