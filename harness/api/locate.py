"""Where does a module's source lie? Found without importing anything, so that reading a card costs no torch."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

LIBRARIES = ("site-packages", "dist-packages")  # folders of installed libraries
GROUPS = tuple(f"harness.{kind}s" for kind in ("task", "model", "decoder", "kernel", "metric"))  # of entry points


@cache
def plugins(group: str) -> tuple[metadata.EntryPoint, ...]:
    """The entry points of plug-in packages in one group, such as `harness.tasks`."""
    return tuple(_entries().select(group=group))


@cache
def packages() -> frozenset[str]:
    """The top-level packages that registered things come from: our own and those of plug-ins."""
    return frozenset({"harness", *(entry.module.partition(".")[0] for group in GROUPS for entry in plugins(group))})


@cache
def find(name: str) -> ModuleSpec | None:
    """Where a module lies, or None; `importlib.util.find_spec` would import the packages above it."""
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__spec__ is not None:
        return loaded.__spec__
    path: list[str] | None = None
    above = name.rpartition(".")[0]
    if above:
        package = find(above)
        if package is None or package.submodule_search_locations is None:
            return None
        try:
            path = list(package.submodule_search_locations)
        except KeyError:
            # a package without __init__.py asks for the one above it, which must then be imported
            return importlib.util.find_spec(name)
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path, None)
        if spec is not None:
            return spec
    return None


def source_file(name: str) -> Path | None:
    """The module's own .py file, or None where it has none."""
    spec = find(name)
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


@cache
def is_ours(name: str) -> bool:
    """Whether a module counts by its source: ours, a plug-in's, or outside the folders of installed libraries.

    An installed library is identified by its version instead.
    """
    top = name.partition(".")[0]
    if not top or top in sys.stdlib_module_names:
        return False
    if top not in packages():
        file = source_file(top)
        if file is None or any(part in LIBRARIES for part in file.parts):
            return False
    return find(name) is not None


def forget() -> None:
    """Look everything up anew from now on."""
    for remembered in (plugins, packages, find, is_ours, _entries):
        remembered.cache_clear()


@cache
def _entries() -> Any:
    # one walk over all installed distributions; Python 3.11 and 3.12 give different types, alike in `select`
    return metadata.entry_points()
