"""Which class does a name in a module's source mean, wherever it was imported from? Nothing is imported to find out."""

from __future__ import annotations

import ast
import importlib.util
from functools import lru_cache
from pathlib import Path

from harness.api import locate

KEPT = (
    8  # files whose syntax is held: base classes are asked for again soon, and 240 trees take 0.3 s to free at the end
)


def find(
    name: str, parsed: ast.Module, module: str, below: ast.ClassDef | None = None
) -> tuple[ast.ClassDef, ast.Module, str] | None:
    """The class that a (dotted) name means in a module, wherever it was imported from; never `below` itself."""
    head, _, rest = name.partition(".")
    for node in parsed.body:
        if isinstance(node, ast.ClassDef) and node.name == name and node is not below:
            return node, parsed, module
        if isinstance(node, ast.Import):
            for alias in node.names:
                spelled = alias.asname or alias.name
                if name.startswith(spelled + "."):
                    return _find_in(alias.name, name[len(spelled) + 1 :])
        elif isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), _package(module))
            for alias in node.names:
                if (alias.asname or alias.name) == head:
                    return _find_in(f"{source}.{alias.name}", rest) if rest else _find_in(source, alias.name)
    return None


def _find_in(module: str, name: str) -> tuple[ast.ClassDef, ast.Module, str] | None:
    # the floor and foreign libraries hold no parameters
    file = None if module.startswith("harness.api") or not locate.is_ours(module) else locate.source_file(module)
    return None if file is None else find(name, tree(file), module)


@lru_cache(maxsize=KEPT)
def tree(file: Path) -> ast.Module:
    """A file's syntax, parsed once."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def _package(module: str) -> str:
    spec = locate.find(module)
    return module if spec is not None and spec.submodule_search_locations is not None else module.rpartition(".")[0]
