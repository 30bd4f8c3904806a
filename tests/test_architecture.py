"""The rules of the house, read from source text: who may import whom, and what must not be written anywhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from harness.api import registry
from harness.api.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("harness", "tasks", "models", "kernels")
FILES = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))
ALL_FILES = FILES + sorted(file for folder in ("tests", "benchmarks") for file in (ROOT / folder).rglob("*.py"))
NAMES = [str(file.relative_to(ROOT)) for file in FILES]
ALL_NAMES = [str(file.relative_to(ROOT)) for file in ALL_FILES]

# room -> the rooms of ours that it may import; the roof reaches tasks, models and kernels by name only
MAY_IMPORT = {
    "harness.api": {"harness.api"},
    "harness.metrics": {"harness.api", "harness.metrics"},
    "harness.tasks": {"harness.api", "harness.tasks"},
    "harness.kernels": {"harness.api", "harness.kernels"},
    "harness.models": {"harness.api", "harness.kernels", "harness.models"},
    "harness": {"harness.api", "harness"},
}
HEAVY = {"torch", "triton", "transformers"}  # imported in models/ and kernels/ only
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "manager", "base2", "stuff"}
CLOCKS = {"time", "timeit"}
DATETIME_NOW = {"now", "utcnow", "today"}
UNSAFE_MODULES = {"pickle", "dill", "cloudpickle", "marshal", "shelve"}
LINES_TO_JUSTIFY = 400

# file -> why it may be longer than LINES_TO_JUSTIFY
LONG_FILES: dict[str, str] = {}

REQUIRED_FACTS = {
    "task": {"version", "doors", "paper", "licence", "differs"},
    "model": {"doors", "paper", "differs"},
    "decoder": {"lossless", "paper", "differs"},
    "metric": {"version"},
    "kernel": {"serves"},
}
DOORS = {"generate", "score", "embed", "label", "forecast", "measure"}


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "harness" else ("harness", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Every imported module, and `module.name` for `from module import name`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str:
    return next((room for room in MAY_IMPORT if room != "harness" and f"{module}.".startswith(f"{room}.")), "harness")


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_arrows_between_rooms_point_one_way(file: Path) -> None:
    room = room_of(module_name(file))
    for module in imports(ast.walk(tree(file))):
        if module.split(".")[0] == "harness" and module != "harness":
            # a name imported from a package counts by the package's room
            assert room_of(module) in MAY_IMPORT[room], f"{room} must not import {module}"


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_torch_is_imported_in_models_and_kernels_only(file: Path) -> None:
    if room_of(module_name(file)) not in ("harness.models", "harness.kernels"):
        found = {module.split(".")[0] for module in imports(ast.walk(tree(file)))} & HEAVY
        assert not found, f"imports {found}"


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_only_timing_reads_a_clock(file: Path) -> None:
    if file == ROOT / "harness" / "timing.py":
        return
    found = {module.split(".")[0] for module in imports(ast.walk(tree(file)))} & CLOCKS
    assert not found, f"imports {found}; ask the meter"
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Attribute) and node.attr in DATETIME_NOW:
            owner = ast.unparse(node.value)
            assert owner.split(".")[-1] not in ("datetime", "date"), f"line {node.lineno} reads a clock"


def test_no_module_imports_itself_through_others() -> None:
    graph = {}
    for file in FILES:
        top = [node for node in tree(file).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        graph[module_name(file)] = {module for module in imports(iter(top)) if module.startswith("harness.")}
    graph = {module: {other for other in found if other in graph} for module, found in graph.items()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"import loop: {' -> '.join((*path, module))}"
        if module not in done:
            for other in sorted(graph[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


@pytest.mark.parametrize("file", ALL_FILES, ids=ALL_NAMES)
def test_names_say_what_a_file_does(file: Path) -> None:
    words = {part.strip("_").removeprefix("test_") for part in file.relative_to(ROOT).with_suffix("").parts}
    assert not words & BANNED_NAMES


@pytest.mark.parametrize(
    "file", [file for file in ALL_FILES if file.name != "__init__.py"], ids=lambda f: str(f.relative_to(ROOT))
)
def test_every_file_says_in_its_first_line_what_it_answers(file: Path) -> None:
    assert ast.get_docstring(tree(file)), "no docstring"


@pytest.mark.parametrize("folder", sorted({file.parent for file in FILES}), ids=lambda f: str(f.relative_to(ROOT)))
def test_every_folder_has_an_init_that_is_a_docstring_only(folder: Path) -> None:
    body = tree(folder / "__init__.py").body
    assert ast.get_docstring(tree(folder / "__init__.py"))
    assert len(body) == 1


@pytest.mark.parametrize("file", ALL_FILES, ids=ALL_NAMES)
def test_no_error_is_caught_blindly(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(tree(file)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = {ast.unparse(item) for item in getattr(node.type, "elts", [node.type]) if item} or {"everything"}
        raises_on = any(isinstance(item, ast.Raise) for item in node.body)
        # the linter's own exemption is accepted when a reason follows it
        reasoned = re.search(r"noqa: BLE001 - \w", lines[node.lineno - 1])
        if caught & {"everything", "Exception", "BaseException"}:
            assert raises_on or reasoned, f"line {node.lineno} catches {caught} and goes on"
        if all(isinstance(item, (ast.Pass, ast.Continue)) for item in node.body):
            why = any("#" in line for line in lines[node.lineno - 1 : node.body[-1].end_lineno])
            assert why, f"line {node.lineno} catches {caught} and does nothing, without saying why"


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_nothing_is_unpickled_or_run_from_data(file: Path) -> None:
    found = {module.split(".")[0] for module in imports(ast.walk(tree(file)))} & UNSAFE_MODULES
    assert not found
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            keywords = {item.arg: ast.unparse(item.value) for item in node.keywords}
            assert called not in ("eval", "exec"), f"line {node.lineno} runs text"
            assert called != "torch.load" or keywords.get("weights_only") == "True", f"line {node.lineno} unpickles"
            assert keywords.get("trust_remote_code", "False") == "False", f"line {node.lineno} trusts remote code"
            assert keywords.get("allow_pickle", "False") == "False", f"line {node.lineno} unpickles"


@pytest.mark.parametrize("file", ALL_FILES, ids=ALL_NAMES)
def test_no_path_of_one_machine_is_written(file: Path) -> None:
    # spelled in two halves, so that this file passes its own test
    machine = re.compile(r"(?<![\w.])/(?:" + "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers")) + r")/\w")
    hosts = re.compile("pypi" + r"\.org|python" + r"hosted|file:" + "///opt")
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        assert not machine.search(line), f"line {number}: {line.strip()}"
        assert not hosts.search(line), f"line {number}: {line.strip()}"


def test_long_files_are_justified_and_justifications_are_needed() -> None:
    lengths = {
        name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in zip(NAMES, FILES, strict=True)
    }
    long = {name for name, lines in lengths.items() if lines > LINES_TO_JUSTIFY}
    assert long - set(LONG_FILES) == set(), {name: lengths[name] for name in long - set(LONG_FILES)}
    assert set(LONG_FILES) - long == set()


def registered() -> list[tuple[registry.Kind, str]]:
    return [(kind, name) for kind in registry.KINDS for name in registry.names(kind)]


@pytest.mark.parametrize(("kind", "name"), registered(), ids=lambda value: str(value))
def test_a_card_holds_every_fact_of_its_kind(kind: registry.Kind, name: str) -> None:
    try:
        card = registry.card(kind, name)
    except ValueError as problem:
        raise AssertionError(f"facts must be literals: {problem}") from problem
    except UsageError as problem:
        raise AssertionError(str(problem)) from problem
    # weights have a licence; a learner's are made here
    licence = {"licence"} if kind == "model" and not card.facts.get("learns") else set()
    # what differs from the paper may stand in the docstring instead
    told = {"differs"} if "Differs from the paper" in card.docstring else set()
    missing = (REQUIRED_FACTS[kind] | licence) - set(card.facts) - told
    assert not missing, f"lacks {sorted(missing)}"
    assert card.summary, "no docstring"
    if "doors" in card.facts:
        assert isinstance(card.facts["doors"], tuple)
        assert set(card.facts["doors"]) <= DOORS
        assert card.facts["doors"]
    if "version" in card.facts:
        assert isinstance(card.facts["version"], int)
    if kind == "decoder":
        assert card.facts["lossless"] in ("greedy", "law", "no")


@pytest.mark.parametrize(("kind", "name"), registered(), ids=lambda value: str(value))
def test_a_registered_file_registers_exactly_one_thing(kind: registry.Kind, name: str) -> None:
    package = registry.ROOTS[kind].split(".")
    place = [name, "reference"] if kind == "kernel" else name.split("/")
    file = ROOT.joinpath(*(package if package[1] == "metrics" else package[1:]), *place).with_suffix(".py")
    if not file.is_file():
        pytest.skip("a plug-in")
    marks = []
    for node in tree(file).body:
        for mark in getattr(node, "decorator_list", []):
            called = ast.unparse(mark.func if isinstance(mark, ast.Call) else mark).split(".")[-1]
            marks += [called] if called in registry.KINDS else []
    assert marks == [kind]


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if file.name.startswith("_") and file.name != "__init__.py"],
    ids=lambda f: str(f.relative_to(ROOT)),
)
def test_an_underscored_file_registers_nothing(file: Path) -> None:
    for node in tree(file).body:
        for mark in getattr(node, "decorator_list", []):
            called = ast.unparse(mark.func if isinstance(mark, ast.Call) else mark).split(".")[-1]
            assert called not in registry.KINDS
