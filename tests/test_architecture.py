"""The rules of the house, read from source text: who may import whom, and what must not be written anywhere."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from harness.api import registry
from harness.api.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("harness", "tasks", "models", "kernels")
FILES = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))
ALL_FILES = FILES + sorted(file for folder in ("tests", "benchmarks") for file in (ROOT / folder).rglob("*.py"))

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


def held(files: Iterable[Path], rule: Callable[[Path], Iterable[str]]) -> None:
    """One rule over many files: fails with every line that breaks it, not with the first."""
    broken = [f"{file.relative_to(ROOT)}: {found}" for file in files for found in rule(file)]
    assert not broken, "\n".join(["", *broken])


def test_arrows_between_rooms_point_one_way() -> None:
    def rule(file: Path) -> Iterator[str]:
        room = room_of(module_name(file))
        for module in imports(ast.walk(tree(file))):
            # a name imported from a package counts by the package's room
            own = module.split(".")[0] == "harness" and module != "harness"
            if own and room_of(module) not in MAY_IMPORT[room]:
                yield f"{room} must not import {module}"

    held(FILES, rule)


def test_torch_is_imported_in_models_and_kernels_only() -> None:
    def rule(file: Path) -> Iterator[str]:
        if room_of(module_name(file)) not in ("harness.models", "harness.kernels"):
            found = {module.split(".")[0] for module in imports(ast.walk(tree(file)))} & HEAVY
            yield from (f"imports {module}" for module in sorted(found))

    held(FILES, rule)


def test_only_timing_reads_a_clock() -> None:
    def rule(file: Path) -> Iterator[str]:
        found = {module.split(".")[0] for module in imports(ast.walk(tree(file)))} & CLOCKS
        yield from (f"imports {module}; ask the meter" for module in sorted(found))
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Attribute) and node.attr in DATETIME_NOW:
                owner = ast.unparse(node.value)
                if owner.split(".")[-1] in ("datetime", "date"):
                    yield f"line {node.lineno} reads a clock"

    held([file for file in FILES if file != ROOT / "harness" / "timing.py"], rule)


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


def test_names_say_what_a_file_does() -> None:
    def rule(file: Path) -> Iterator[str]:
        words = {part.strip("_").removeprefix("test_") for part in file.relative_to(ROOT).with_suffix("").parts}
        yield from (f"{word!r} says nothing" for word in sorted(words & BANNED_NAMES))

    held(ALL_FILES, rule)


def test_every_file_says_in_its_first_line_what_it_answers() -> None:
    def rule(file: Path) -> Iterator[str]:
        if not ast.get_docstring(tree(file)):
            yield "no docstring"

    held([file for file in ALL_FILES if file.name != "__init__.py"], rule)


def test_every_folder_has_an_init_that_is_a_docstring_only() -> None:
    def rule(folder: Path) -> Iterator[str]:
        file = folder / "__init__.py"
        if not file.is_file():
            yield "no __init__.py"
        elif not ast.get_docstring(tree(file)) or len(tree(file).body) != 1:
            yield "its __init__.py is not one docstring"

    held(sorted({file.parent for file in FILES}), rule)


def test_no_error_is_caught_blindly() -> None:
    def rule(file: Path) -> Iterator[str]:
        lines = file.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree(file)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = {ast.unparse(item) for item in getattr(node.type, "elts", [node.type]) if item} or {"everything"}
            raises_on = any(isinstance(item, ast.Raise) for item in node.body)
            # the linter's own exemption is accepted when a reason follows it
            reasoned = re.search(r"noqa: BLE001 - \w", lines[node.lineno - 1])
            if caught & {"everything", "Exception", "BaseException"} and not (raises_on or reasoned):
                yield f"line {node.lineno} catches {caught} and goes on"
            if all(isinstance(item, (ast.Pass, ast.Continue)) for item in node.body):
                why = any("#" in line for line in lines[node.lineno - 1 : node.body[-1].end_lineno])
                if not why:
                    yield f"line {node.lineno} catches {caught} and does nothing, without saying why"

    held(ALL_FILES, rule)


def test_nothing_is_unpickled_or_run_from_data() -> None:
    def rule(file: Path) -> Iterator[str]:
        found = {module.split(".")[0] for module in imports(ast.walk(tree(file)))} & UNSAFE_MODULES
        yield from (f"imports {module}" for module in sorted(found))
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                keywords = {item.arg: ast.unparse(item.value) for item in node.keywords}
                if called in ("eval", "exec"):
                    yield f"line {node.lineno} runs text"
                if called == "torch.load" and keywords.get("weights_only") != "True":
                    yield f"line {node.lineno} unpickles"
                if keywords.get("trust_remote_code", "False") != "False":
                    yield f"line {node.lineno} trusts remote code"
                if keywords.get("allow_pickle", "False") != "False":
                    yield f"line {node.lineno} unpickles"

    held(FILES, rule)


def test_no_path_of_one_machine_is_written() -> None:
    # spelled in two halves, so that this file passes its own test
    machine = re.compile(r"(?<![\w.])/(?:" + "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers")) + r")/\w")
    hosts = re.compile("pypi" + r"\.org|python" + r"hosted|file:" + "///opt")

    def rule(file: Path) -> Iterator[str]:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if machine.search(line) or hosts.search(line):
                yield f"line {number}: {line.strip()}"

    held(ALL_FILES, rule)


def test_long_files_are_justified_and_justifications_are_needed() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    long = {name for name, lines in lengths.items() if lines > LINES_TO_JUSTIFY}
    assert long - set(LONG_FILES) == set(), {name: lengths[name] for name in long - set(LONG_FILES)}
    assert set(LONG_FILES) - long == set()


def test_every_dependency_has_a_floor_and_a_ceiling() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    # `name[extra]>=floor,<ceiling ; marker`, with releases left out between
    ranged = re.compile(r"[\w.-]+(\[[\w,-]+\])?>=[\d.]+,(!=[\d.*]+,)*<[\d.]+\s*(;.*)?")
    assert [line for line in asked if not ranged.fullmatch(line)] == []


def registered() -> list[tuple[registry.Kind, str]]:
    return [(kind, name) for kind in registry.KINDS for name in registry.names(kind)]


def lacking(kind: registry.Kind, name: str) -> Iterator[str]:
    """What a card lacks of the facts of its kind."""
    try:
        card = registry.card(kind, name)
    except ValueError as problem:
        yield f"facts must be literals: {problem}"
        return
    except UsageError as problem:
        yield str(problem)
        return
    # weights have a licence; a learner's are made here
    licence = {"licence"} if kind == "model" and not card.facts.get("learns") else set()
    yield from sorted((REQUIRED_FACTS[kind] | licence) - set(card.facts))
    if not str(card.facts.get("differs", "none")).strip():
        yield "a word on where it differs from its paper, or `none`"
    if not card.summary:
        yield "a docstring"
    if "doors" in card.facts and not (
        isinstance(card.facts["doors"], tuple) and card.facts["doors"] and set(card.facts["doors"]) <= DOORS
    ):
        yield f"a tuple of doors among {sorted(DOORS)}, not {card.facts['doors']!r}"
    if not isinstance(card.facts.get("version", 1), int):
        yield f"a whole number as version, not {card.facts['version']!r}"
    if kind == "decoder" and card.facts.get("lossless") not in ("greedy", "law", "no"):
        yield f"`lossless` greedy, law or no, not {card.facts.get('lossless')!r}"


def test_a_card_holds_every_fact_of_its_kind() -> None:
    broken = [f"{kind} {name} lacks {what}" for kind, name in registered() for what in lacking(kind, name)]
    assert not broken, "\n".join(["", *broken])


def registrations(file: Path) -> list[str]:
    """The kinds that a file's decorators register."""
    marks = []
    for node in tree(file).body:
        for mark in getattr(node, "decorator_list", []):
            called = ast.unparse(mark.func if isinstance(mark, ast.Call) else mark).split(".")[-1]
            marks += [called] if called in registry.KINDS else []
    return marks


def test_a_registered_file_registers_exactly_one_thing() -> None:
    broken = []
    for kind, name in registered():
        package = registry.ROOTS[kind].split(".")
        place = [name, "reference"] if kind == "kernel" else name.split("/")
        file = ROOT.joinpath(*(package if package[1] == "metrics" else package[1:]), *place).with_suffix(".py")
        # a plug-in's file lies elsewhere
        if file.is_file() and registrations(file) != [kind]:
            broken.append(f"{file.relative_to(ROOT)} registers {registrations(file)}, not one {kind}")
    assert not broken, "\n".join(["", *broken])


def test_an_underscored_file_registers_nothing() -> None:
    hidden = [file for file in FILES if file.name.startswith("_") and file.name != "__init__.py"]
    held(hidden, lambda file: (f"registers a {kind}" for kind in registrations(file)))
