"""What does the source of a module reach? Modules by import or file name, kernels, specs, data files beside it.

Everything is read from text and nothing is imported, so that asking costs no torch. What counts by its source is said
by `locate.is_ours`; a library is identified by its version.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.api import locate, registry
from harness.api.errors import HarnessError

ANY = "*"  # a name that the source computes: every registered one of the kind
CODE = (".py", ".pyc", ".pyi", ".so", ".md")  # no data, and neither is what is told to people
READERS = "harness.readers"
NAMED = re.compile(r"(?!\.\.?(/|$))[\w-][\w./-]{0,99}")  # a relative path below the module's folder


@dataclass(frozen=True, slots=True)
class Module:
    """One module as it was read: its bytes, and what they name."""

    name: str
    file: Path
    source: bytes
    imports: tuple[str, ...]
    kernels: tuple[str, ...]  # names given to `operation`, or ANY
    creates: tuple[tuple[str, str], ...]  # (kind, spec) given to `registry.create`; either may be ANY
    constants: tuple[tuple[str, str], ...]  # (name, expression) assigned at the top
    data: tuple[Path, ...]  # files that are not code


def reached(modules: Iterable[str]) -> dict[str, Module]:
    """Those modules and all that they reach by import or as a kernel, however deep; what has no source is left out."""
    found: dict[str, Module] = {}
    waiting = list(modules)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        module = read(name)
        if module is not None:
            found[name] = module
            waiting += module.imports
            waiting += (file for kernel in kernels_of(module) for file in kernel_modules(kernel))
    return found


def kernels_of(module: Module) -> list[str]:
    """The registered kernels that the module names."""
    if ANY in module.kernels:
        return registry.names("kernel")
    return [name for name in module.kernels if name in registry.names("kernel")]


@cache
def kernel_modules(kernel: str) -> tuple[str, ...]:
    """Every module of a kernel's folder."""
    package, _, last = registry.card("kernel", kernel).module.rpartition(".")
    spec = locate.find(package) if last == "reference" and package else None
    if spec is None:
        return (registry.card("kernel", kernel).module,)
    files = [file for folder in spec.submodule_search_locations or () for file in sorted(Path(folder).glob("*.py"))]
    return (package, *(f"{package}.{file.stem}" for file in files if file.stem != "__init__"))


@cache
def read(name: str) -> Module | None:
    """The module as it lies on disk when first asked for; None when it is no Python source.

    Errors: HarnessError when it cannot be parsed.
    """
    file, spec = locate.source_file(name), locate.find(name)
    if file is None or spec is None:
        return None
    source = file.read_bytes()
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    try:
        found = _scanned(source, package)
    except SyntaxError as problem:
        raise HarnessError(
            f"{file}, line {problem.lineno}: {problem.msg}; mend it, for it cannot be imported."
        ) from problem
    return Module(
        name,
        file,
        source,
        tuple(
            item for item in dict.fromkeys([*found.imports, *_scripts(file, found, package)]) if locate.is_ours(item)
        ),
        tuple(sorted(set(found.kernels))),
        tuple(sorted(set(found.creates))),
        tuple(found.constants),
        tuple(sorted(_data(file, found, bool(package)))),
    )


@cache
def content(file: Path) -> bytes:
    """A data file's bytes as they were when first asked for."""
    return file.read_bytes()


class _Found:
    """What a walk over a module's tree collects."""

    def __init__(self) -> None:
        self.imports: list[str] = []
        self.kernels: list[str] = []
        self.creates: list[tuple[str, str]] = []
        self.texts: set[str] = set()
        self.names: set[str] = set()
        self.constants: list[tuple[str, str]] = []

    def note(self, node: ast.AST, package: str, defined: set[str]) -> None:
        """Add what one node names; `defined` are the functions that the module itself defines."""
        if isinstance(node, ast.Import):
            self.imports += [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(node, package)
            self.imports += [source, *(f"{source}.{item.name}" for item in node.names)]
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            # the module that defines such a function passes names on and has none of its own
            if called not in defined:
                self._note_call(called, [_text(item) for item in node.args])
        elif isinstance(node, ast.Name):
            self.names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.texts.add(node.value)

    def _note_call(self, called: str, arguments: list[str]) -> None:
        if called == "operation" and arguments:
            self.kernels.append(arguments[0])
        elif called == "create" and len(arguments) == 2:
            self.creates.append((arguments[0], arguments[1]))
        elif called == "rows":
            # `sources.rows`: how a table's bytes become rows is no import of a task, which must not know the roof
            self.imports.append(READERS)
        elif called == "import_module" and arguments and arguments[0] != ANY:
            self.imports.append(arguments[0])


@cache
def _scanned(source: bytes, package: str) -> _Found:
    """What a text names; it depends on the text alone, so that it is never forgotten."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    found = _Found()
    for node in nodes:
        found.note(node, package, defined)
    found.constants += _constants(tree)
    return found


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ANY


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, (ast.Constant, ast.Tuple)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, ast.unparse(node.value)


def _scripts(file: Path, found: _Found, package: str) -> Iterator[str]:
    """Modules that the source names by their file, beside it or below: a program for another process."""
    for text in found.texts:
        if text.endswith(".py") and NAMED.fullmatch(text) and (file.parent / text).is_file():
            yield ".".join([*([package] if package else []), *Path(text).with_suffix("").parts])


def _data(file: Path, found: _Found, in_package: bool) -> set[Path]:
    """Data files that the source names, by their own name or by that of a folder beside the module that holds them.

    A module that looks beside itself and spells no such name reads what it finds: then all that lies there counts.
    """
    folder = file.parent
    named = {item for text in found.texts if NAMED.fullmatch(text) for item in _files(folder / text)}
    looks_beside = "__file__" in found.names or "importlib.resources" in found.imports
    return named or (_files(folder) if looks_beside and in_package else set())


def _files(place: Path) -> set[Path]:
    below = place.rglob("*") if place.is_dir() else [place]
    return {item for item in below if item.is_file() and item.suffix not in CODE and "__pycache__" not in item.parts}


def forget() -> None:
    """Read everything anew from now on."""
    for remembered in (read, content, kernel_modules):
        remembered.cache_clear()
    registry.forget()
