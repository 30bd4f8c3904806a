"""Is what the documents tell a reader to type something that the command takes?"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from harness import cli
from harness.api import registry

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "harness/gate/README.md"]
# an indented line, or a span of code, that begins with the command
LINE = re.compile(r"^    (?:.*&& )?(harness .+?)(?:  +#.*)?$", re.MULTILINE)
SPAN = re.compile(r"`(harness [a-z][^`]*)`")
PLACEHOLDER = re.compile(r"[A-Z]+\d?")


def commands(document: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    found = [line.split(" && ")[-1].split(" > ")[0].strip() for line in LINE.findall(text)]
    # a verb alone is a mention, brackets and dots are a synopsis
    spans = [span for span in SPAN.findall(text) if len(span.split()) > 2 and not re.search(r"[\[\]|…]|\.\.\.", span)]
    return found + spans


def words(command: str) -> list[str]:
    return shlex.split(command.replace("\\|", "|"))[1:]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_a_document_is_parsed_as_it_stands(document: str) -> None:
    refused = []
    for command in commands(document):
        given = words(command)
        try:
            cli._parser(given)[0].parse_args(given)
        except SystemExit as ended:
            refused += [command] if ended.code else []
    assert refused == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_name_in_a_command_of_a_document_is_registered(document: str) -> None:
    unknown = []
    for command in commands(document):
        given = words(command)
        for option, kind in (("--task", "task"), ("--model", "model"), ("--decoder", "decoder")):
            asked = given[given.index(option) + 1] if option in given[:-1] else ""
            for spec in filter(None, asked.split(",")):
                name = spec.split(":")[0]
                if PLACEHOLDER.fullmatch(name) or "*" in name:
                    continue
                try:
                    registry.card(kind, registry.parse(name)[0])  # type: ignore[arg-type]
                except Exception as problem:  # noqa: BLE001 - whatever it is, the reader meets it too
                    unknown.append(f"{command}: {problem}")
    assert unknown == []


def test_the_readme_shows_commands_at_all() -> None:
    assert len(commands("README.md")) >= 8


def test_every_script_that_a_document_names_is_there() -> None:
    named = set()
    for document in (*DOCUMENTS, "benchmarks/README.md"):
        named |= set(re.findall(r"benchmarks/[a-z_/]+\.py", (ROOT / document).read_text(encoding="utf-8")))
    assert named
    assert sorted(name for name in named if not (ROOT / name).is_file()) == []
