"""list: show every registered task, model, decoder, kernel and metric, without importing any of them."""

from __future__ import annotations

import argparse
import json
from typing import Any

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.registry import KINDS, Card, Kind
from harness.terminal import columns, plain


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("kind", nargs="?", metavar="KIND", help="tasks, models, decoders, kernels or metrics (all)")
    parser.add_argument("--json", action="store_true", help="print every card as JSON")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Print names with their one-line summaries; 1 when a plug-in is broken."""
    broken = 0
    listing: dict[str, list[dict[str, Any]]] = {}
    for kind in [kind_named(options.kind)] if options.kind else KINDS:
        listing[f"{kind}s"] = entries = []
        for name in registry.names(kind):
            try:
                entries.append(_facts(registry.card(kind, name)))
            except (UsageError, SyntaxError, ValueError) as problem:
                entries.append({"name": name, "broken": str(problem)})
                broken += 1
    if options.json:
        print(json.dumps(listing, indent=1, default=str))
    else:
        print("\n\n".join(_section(title, entries) for title, entries in listing.items()))
    return 1 if broken else 0


def kind_named(text: str) -> Kind:
    """The kind for its singular or plural."""
    for kind in KINDS:
        if text in (kind, f"{kind}s"):
            return kind
    raise UsageError(f"no kind named {text!r}; the kinds are {', '.join(f'{kind}s' for kind in KINDS)}.")


def _facts(card: Card) -> dict[str, Any]:
    parameters = {item.name: {"type": item.annotation, "default": item.default} for item in card.parameters}
    return {"name": card.name, "summary": card.summary, **card.facts, "parameters": parameters}


def _section(title: str, entries: list[dict[str, Any]]) -> str:
    lines = [
        (entry["name"], f"BROKEN: {entry['broken']}" if "broken" in entry else entry["summary"]) for entry in entries
    ]
    return f"{plain(title)} ({len(entries)})\n{columns(lines)}"
