"""What does a card say, and what does the page of a whole family of tasks? Facts, metrics and pins, as text."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from harness.api import registry
from harness.api.registry import Card

PINS = ("Dataset", "Wheel", "HubData", "DataFile")
PAGE = "README.md"


def families() -> dict[str, list[Card]]:
    """Task family -> the cards of its tasks, in order of name; tasks of other packages are left out."""
    found: dict[str, list[Card]] = {}
    for name in registry.names("task"):
        card = registry.card("task", name)
        if card.module.startswith("harness.tasks."):
            found.setdefault(name.partition("/")[0], []).append(card)
    return dict(sorted(found.items()))


def family_page(family: str, tasks: list[Card]) -> str:
    """Markdown: what each task asks, of which paper and data, by which metrics, and where it differs."""
    asks = (importlib.import_module(f"harness.tasks.{family}").__doc__ or "").strip()
    index = [(f"[{card.name}](#{_anchor(card.name)})", _cell(card.summary)) for card in tasks]
    parts = [
        "<!-- written by `harness show --families tasks` from the cards; a change by hand fails the tests -->",
        f"# {family}",
        asks,
        tabulate(index, ("task", "asks"), tablefmt="github"),
        *(_section(card) for card in tasks),
    ]
    return "\n\n".join(parts) + "\n"


def write_family_pages(folder: Path) -> list[Path]:
    """Every family's page below `folder`, as `<family>/README.md`."""
    written = []
    for family, tasks in families().items():
        path = folder / family / PAGE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(family_page(family, tasks), encoding="utf-8")
        written.append(path)
    return written


def metrics(card: Card, spec: str) -> list[str]:
    """Signatures of a task's metrics; none for a task that needs a parameter which the spec does not give."""
    # tasks are free of torch, so that building one is cheap; one that needs a parameter is shown without
    if any(item.default is None for item in card.parameters) and ":" not in spec:
        return []
    _, given = registry.parse(spec)
    metrics = registry.create("task", registry.format_spec(card.name, given)).metrics
    return [item if isinstance(item, str) else str(item.signature) for item in metrics]


def pins(card: Card) -> Iterator[str]:
    """The pins that stand in the object's own file, as written there: a model's file is never imported for its card."""
    for node in ast.parse(_source(card)).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            calls = [item for item in ast.walk(node.value) if isinstance(item, ast.Call)]
            if any(isinstance(call.func, ast.Name) and call.func.id in PINS for call in calls):
                yield ast.unparse(node.value)


def _section(card: Card) -> str:
    facts = dict(card.facts)
    doors = ", ".join(map(str, facts.get("doors", ())))
    about = [
        ("paper", facts.get("paper", "")),
        ("differs from it", facts.get("differs", "")),
        ("doors", doors),
        ("metrics", "; ".join(f"`{item}`" for item in metrics(card, card.name))),
        ("chance", facts.get("chance", "")),
        ("licence of the data", facts.get("licence", "")),
        ("version", facts.get("version", "")),
    ]
    rows = [(key, _cell(str(value))) for key, value in about if str(value)]
    given = [
        (f"`{item.name}`", f"`{item.annotation}`", "required" if item.default is None else f"`{item.default}`")
        for item in card.parameters
    ]
    pinned = list(pins(card))
    parts = [f"## {card.name}", card.docstring.strip(), tabulate(rows, ("", ""), tablefmt="github")]
    if given:
        cells = [tuple(_cell(part) for part in row) for row in given]
        parts.append(tabulate(cells, ("parameter", "type", "default"), tablefmt="github", disable_numparse=True))
    if pinned:
        parts.append("Data, as pinned:\n\n```text\n" + "\n".join(pinned) + "\n```")
    return "\n\n".join(parts)


def _anchor(name: str) -> str:
    # the way that markdown hosts make a heading's name: letters, digits, `-` and `_` stay
    return name.replace("/", "").lower()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _source(card: Card) -> str:
    module = sys.modules.get(card.module)
    spec = module.__spec__ if module else importlib.util.find_spec(card.module)
    return Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
