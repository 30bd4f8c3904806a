"""show: print the card of one registered object, with its paper, licence, data pin, doors, metrics and parameters."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import parts
from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.registry import KINDS, Card, Kind
from harness.cards import metrics, pins, write_family_pages
from harness.sources import DataSources
from harness.terminal import columns, plain

LONG = 200  # characters; a longer value of a loaded model is printed below the others


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a task, model, decoder, kernel or metric, with or without parameters"
    )
    parser.add_argument(
        "--families", type=Path, metavar="FOLDER", help="write a page a task family, FOLDER/<family>/README.md"
    )
    parser.add_argument("--json", action="store_true", help="print the card as JSON")
    parser.add_argument(
        "--load", action="store_true", help="put a model up too, and print its sizes, chat template and first token ids"
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Print every card of that name (a task and a decoder may share one)."""
    if options.families:
        try:
            print("\n".join(map(str, write_family_pages(options.families))))
        except OSError as problem:
            raise UsageError(f"--families {options.families} cannot be written: {problem.strerror}.") from problem
        return 0
    if options.name is None:
        raise UsageError("show needs a NAME, or --families FOLDER; `harness list` shows all names.")
    found = cards(options.name)
    identities = [_identity(card, options.name) if options.load else {} for card in found]
    if options.json:
        shown = [_as_dict(card) | identity for card, identity in zip(found, identities, strict=True)]
        print(json.dumps(shown, indent=1, default=str))
    else:
        pages = [_page(card, options.name) for card in found]
        print("\n\n".join(page + _loaded(identity) for page, identity in zip(pages, identities, strict=True)))
    return 0


def cards(spec: str) -> list[Card]:
    """The cards of all kinds that the name fits, its parameters checked; UsageError with near names of any kind."""
    name, parameters = registry.parse(spec)
    fits: dict[Kind, str] = {}
    for kind in KINDS:
        known = registry.names(kind)
        tails = [full for full in known if full.split("/")[-1] == name or full.endswith("/" + name)]
        if name in known or len(tails) == 1:
            fits[kind] = name if name in known else tails[0]
        elif tails:
            raise UsageError(f"{kind} name {name!r} is ambiguous: {', '.join(sorted(tails))}.")
    exact = {kind: full for kind, full in fits.items() if full == name} or fits
    if not exact:
        known_by = {
            word: full for kind in KINDS for full in registry.names(kind) for word in (full.split("/")[-1], full)
        }
        near = dict.fromkeys(known_by[word] for word in difflib.get_close_matches(name, known_by, 3))
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else " `harness list` shows all names."
        raise UsageError(f"nothing is named {name!r}.{hint}")
    for kind, full in exact.items():
        if parameters:
            registry.check_parameters(kind, full, parameters)
    return [registry.card(kind, full) for kind, full in exact.items()]


def _page(card: Card, spec: str) -> str:
    lines = [f"{card.kind} {card.name}", "", *(plain(line) for line in card.docstring.strip().splitlines())]
    facts = [
        (key, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
        for key, value in card.facts.items()
    ]
    found = metrics(card, spec) if card.kind == "task" else []
    if found:
        facts.append(("metrics", ", ".join(found)))
    lines += ["", "facts", columns(facts)] if facts else []
    pinned = list(pins(card))
    lines += ["", "pinned data and weights", *(f"  {plain(pin)}" for pin in pinned)] if pinned else []
    parameters = [
        (
            item.name,
            f"{item.annotation} = {item.default}" if item.default is not None else f"{item.annotation} (required)",
        )
        for item in card.parameters
    ]
    lines += ["", f"parameters ({card.name}:name=value,...)", columns(parameters)] if parameters else []
    reached = _reached(card, spec)
    lines += ["", "reached by name, and signed with it", columns(reached)] if reached else []
    return "\n".join(lines)


def _reached(card: Card, spec: str) -> list[tuple[str, str]]:
    """(kind, spec) of every part below the one that is shown, then its kernels."""
    whole = parts.resolve(card.kind, registry.format_spec(card.name, registry.parse(spec)[1]))
    found = [(part.kind, part.spec) for part in whole.walk() if part is not whole]
    kernels = {kernel for part in whole.walk() for kernel in part.kernels()} - {card.name}
    return [*found, *(("kernel", kernel) for kernel in sorted(kernels))]


def _identity(card: Card, spec: str) -> dict[str, Any]:
    """What the loaded model says of itself, under the key "loaded"; UsageError for what cannot be loaded."""
    if card.kind != "model" or card.facts.get("learns"):
        kind = "model that is trained on a task first" if card.kind == "model" else card.kind
        raise UsageError(f"--load puts a ready model up, but {card.name} is a {kind}.")
    _, given = registry.parse(spec)
    setting = Setting(DataSources(None), announce=lambda line: print(line, file=sys.stderr))
    loaded = registry.create("model", registry.format_spec(card.name, given)).load(setting)
    return {"loaded": dict(loaded.identity)}


def _loaded(identity: Mapping[str, Any]) -> str:
    """The part of the page about a loaded model; a text of several lines, as a chat template is, stands below."""
    if not identity:
        return ""
    items = {key: str(value) for key, value in identity["loaded"].items()}
    tall = {key: value for key, value in items.items() if "\n" in value or len(value) >= LONG}
    short = [(key, value) for key, value in items.items() if key not in tall]
    long = ["\n".join(["", key, *map(plain, value.splitlines())]) for key, value in tall.items()]
    return "\n".join(["", "", "loaded", columns(short), *long])


def _as_dict(card: Card) -> dict[str, Any]:
    parameters = [{"name": item.name, "type": item.annotation, "default": item.default} for item in card.parameters]
    return {
        "kind": card.kind,
        "name": card.name,
        "docstring": card.docstring,
        "facts": dict(card.facts),
        "pins": list(pins(card)),
        "parameters": parameters,
    }
