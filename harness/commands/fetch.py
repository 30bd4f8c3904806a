"""fetch: bring a task's data or a model's weights to this machine and verify them by their digests."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import parts, sources
from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.protocols import Fetchable, Setting
from harness.commands.show import cards
from harness.terminal import plain, say

SPLITS = ("train", "validation", "test")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="tasks or models, with or without parameters")
    parser.add_argument("--own", action="append", default=[], metavar="DATASET=FOLDER", help="use your own files")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Ask each object for its digests, which puts its data in place; 2 when some cannot be had."""
    wanted = []
    for name in options.names:
        useful = [card for card in cards(name) if card.kind in ("task", "model")]
        if not useful:
            raise UsageError(f"{name} has nothing to fetch; tasks have data and models have weights.")
        wanted += [(card.kind, registry.format_spec(card.name, registry.parse(name)[1])) for card in useful]
    places = sources.from_environment(say, own=own_folders(options.own), fetch=True)
    for kind, spec in wanted:
        for line in _task(spec, places) if kind == "task" else _model(spec, places):
            print(plain(line))
    return 0


def own_folders(pairs: list[str]) -> dict[str, Path]:
    """`DATASET=FOLDER` options as a table."""
    folders = {}
    for pair in pairs:
        name, equals, folder = pair.partition("=")
        if not (name and equals and folder):
            raise UsageError(f"--own {pair!r} is not DATASET=FOLDER.")
        folders[name] = Path(folder).expanduser()
    return folders


def _task(spec: str, places: sources.DataSources) -> list[str]:
    task = registry.create("task", spec)
    lines, missing = [], ""
    for split in SPLITS:
        try:
            lines.append(f"{spec} {split}: {task.data_digest(split, places)}")
        except UsageError as problem:
            # a task without this split says so; only a task without any is a problem
            missing = str(problem)
    if not lines:
        raise DataError(missing)
    return lines


def _model(spec: str, places: sources.DataSources) -> list[str]:
    """The digests of a model, and where its weights and those of the models in it lie."""
    setting = Setting(places, announce=say)
    lines = []
    for part in parts.resolve("model", spec).walk():
        inner = registry.create("model", part.spec) if part.kind == "model" else None
        if isinstance(inner, Fetchable):
            lines.append(f"{part.spec} files: {inner.fetch(setting)}")
    digests = registry.create("model", spec).fingerprint(setting)
    return lines + [f"{spec} {part}: {digest}" for part, digest in digests.items()]
