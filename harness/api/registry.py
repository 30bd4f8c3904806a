"""Which tasks, models, decoders, kernels and metrics exist, and how a name becomes an object.

The path is the name: `tasks/recall/passkey.py` is `recall/passkey`. Listing walks folders and reads source text;
nothing is imported until `create` asks for one object, and then that one file is. Plug-in packages register an entry
point per object in the group `harness.<kind>s` (`harness.tasks`, ...), named like a path.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, dataclass_transform

from harness.api import classes, locate, secrets
from harness.api.errors import UsageError

# how a spec is written belongs to what the registry offers
from harness.api.specs import format_spec as format_spec
from harness.api.specs import parse as parse
from harness.api.specs import split_specs as split_specs

Kind = Literal["task", "model", "decoder", "kernel", "metric"]
KINDS: tuple[Kind, ...] = ("task", "model", "decoder", "kernel", "metric")

# kind -> the package whose folder is walked; a name is the path below it
ROOTS: dict[Kind, str] = {
    "task": "harness.tasks",
    "model": "harness.models",
    "decoder": "harness.models",
    "kernel": "harness.kernels",
    "metric": "harness.metrics",
}

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a registered object, read from its source text."""

    name: str
    annotation: str
    default: str | None  # source text; None when it must be given


@dataclass(frozen=True, slots=True)
class Card:
    """What can be said of a registered object without importing it."""

    kind: Kind
    name: str
    module: str
    attribute: str
    summary: str
    docstring: str
    facts: Mapping[str, Any]  # the decorator's keywords: version, doors, paper, licence, ...
    parameters: tuple[Parameter, ...] = field(default=())


def _register(kind: Kind, facts: Mapping[str, Any]) -> Callable[[C], C]:
    def mark(thing: C) -> C:
        if isinstance(thing, type):
            thing = typing.cast(C, dataclass(frozen=True, kw_only=True)(thing))
        # a class body or function is marked in place; the registry itself holds no table
        setattr(thing, "__kind__", kind)
        setattr(thing, "__facts__", dict(facts))
        return thing

    return mark


@dataclass_transform(frozen_default=True, kw_only_default=True)
def task(**facts: Any) -> Callable[[C], C]:
    """Register a task class. Facts (literals): version, doors, paper, licence, data, differs, chance."""
    return _register("task", facts)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def model(**facts: Any) -> Callable[[C], C]:
    """Register a model class. Facts (literals): doors, paper, licence, learns, decodes, differs, secrets."""
    return _register("model", facts)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def decoder(**facts: Any) -> Callable[[C], C]:
    """Register a decoder class. Facts (literals): lossless ("greedy", "law", "no"), needs, paper, differs.

    `carries="parameter=value"` says with which setting it carries what it learned from prompt to prompt: such a run
    asks one prompt after the other, in the task's order, and begins anew where another would be resumed.
    """
    return _register("decoder", facts)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def metric(**facts: Any) -> Callable[[C], C]:
    """Register a metric class. Facts (literals): paper, version."""
    return _register("metric", facts)


def kernel(**facts: Any) -> Callable[[C], C]:
    """Register an operation: decorates the function in `kernels/<op>/reference.py`. Facts: serves, paper."""
    return _register("kernel", facts)


def names(kind: Kind) -> list[str]:
    """All registered names of a kind, sorted; imports nothing."""
    return sorted(_places(kind))


def card(kind: Kind, name: str) -> Card:
    """The card of one registered object, read from its source text."""
    return _card(kind, resolve(kind, name))


def resolve(kind: Kind, query: str) -> str:
    """The full name for a full name or a unique last part; UsageError with the nearest names otherwise."""
    known = _places(kind)
    if query in known:
        return query
    tails = [name for name in known if name.split("/")[-1] == query or name.endswith("/" + query)]
    if len(tails) == 1:
        return tails[0]
    if tails:
        raise UsageError(f"{kind} name {query!r} is ambiguous: {', '.join(sorted(tails))}.")
    raise UsageError(f"no {kind} named {query!r}.{_suggest(query, known)}")


def select(kind: Kind, text: str) -> list[str]:
    """Specs named by a command-line value: comma-separated, `folder/*` expanded, names resolved, parameters checked."""
    chosen: list[str] = []
    goes_on = False  # whether the spec before has parameters, whose value may have been cut at its comma
    for spec in split_specs(text):
        name, parameters = parse(spec)
        if "*" in name:
            pattern = re.compile(re.escape(name).replace(r"\*", ".*"))
            matches = [known for known in names(kind) if pattern.fullmatch(known)]
            if not matches:
                raise UsageError(f"no {kind} matches {name!r}.{_suggest(name.split('/')[0], _places(kind))}")
        else:
            matches = [_resolved(kind, name, goes_on)]
        goes_on = bool(parameters)
        for match in matches:
            check_parameters(kind, match, parameters)
            chosen.append(format_spec(match, parameters))
    return list(dict.fromkeys(chosen))


def _resolved(kind: Kind, name: str, goes_on: bool) -> str:
    try:
        return resolve(kind, name)
    except UsageError as problem:
        if not goes_on:
            raise
        advice = "Should the comma before it be part of a value, write that value in quotes: parameter='a,b'."
        raise UsageError(f"{problem} {advice}") from problem


def create(kind: Kind, spec: str) -> Any:
    """Import the one file and build the object with the spec's parameters."""
    name, given = parse(spec)
    name = resolve(kind, name)
    check_parameters(kind, name, given)
    place = _places(kind)[name]
    module = importlib.import_module(place.module)
    thing = getattr(module, _card(kind, name).attribute)
    if not isinstance(thing, type):
        return thing
    hints = typing.get_type_hints(thing)
    values = {key: _convert(f"{kind} {name}", key, text, hints[key]) for key, text in given.items()}
    try:
        return thing(**values)
    except (TypeError, ValueError) as problem:
        raise UsageError(f"{kind} {name}: {problem}") from problem


def canonical(kind: Kind, spec: str) -> str:
    """The spec with its full name and every non-default parameter, sorted: equal objects, equal text."""
    name, given = parse(spec)
    name = resolve(kind, name)
    thing = create(kind, spec)
    if not hasattr(thing, "__dataclass_fields__"):
        return name
    different = {
        item.name: _text(getattr(thing, item.name))
        for item in fields(thing)
        if item.init and (item.name in given and getattr(thing, item.name) != item.default)
    }
    return format_spec(name, dict(sorted(different.items())))


def check_parameters(kind: Kind, name: str, given: Mapping[str, str]) -> None:
    """UsageError when a parameter does not exist, or a required one is missing; reads source text alone."""
    known = {item.name: item for item in _card(kind, name).parameters}
    for key in given:
        if key not in known:
            listing = ", ".join(known) or "none"
            raise UsageError(
                f"{kind} {name} has no parameter {key!r}.{_suggest(key, known)} Its parameters: {listing}."
            )
    for key in _card(kind, name).facts.get("secrets", ()):
        if not secrets.is_variable(given.get(key, "_")):
            raise UsageError(
                f"{kind} {name}: {key}= takes the NAME of an environment variable, in capitals, not the secret itself."
            )
    for item in known.values():
        if item.default is None and item.name not in given:
            raise UsageError(f"{kind} {name} needs {item.name}=... ({item.annotation}).")


def forget() -> None:
    """Look everything up anew from now on: plug-ins, places and cards."""
    locate.forget()
    for remembered in (_places, _card, classes.tree):
        remembered.cache_clear()


@dataclass(frozen=True, slots=True)
class _Place:
    module: str
    file: Path | None  # None for a plug-in until its source is looked for
    attribute: str = ""  # empty: the decorated object in the file


@cache
def _places(kind: Kind) -> dict[str, _Place]:
    places = {name: _Place(module, file) for name, module, file in _walk(kind)}
    for entry in locate.plugins(f"harness.{kind}s"):
        if entry.name in places:
            raise UsageError(f"plug-in {entry.value!r} wants the taken {kind} name {entry.name!r}.")
        places[entry.name] = _Place(entry.module, None, entry.attr)
    return places


def _walk(kind: Kind) -> Iterator[tuple[str, str, Path]]:
    package = ROOTS[kind]
    spec = importlib.util.find_spec(package)
    for folder in list(spec.submodule_search_locations or []) if spec else []:
        root = Path(folder)
        for file in root.rglob("*.py"):
            parts = file.relative_to(root).with_suffix("").parts
            if any(part.startswith(("_", ".")) for part in parts):
                continue
            if kind == "kernel":
                if len(parts) == 2 and parts[-1] == "reference":
                    yield parts[0], ".".join((package, *parts)), file
            elif kind not in ("model", "decoder") or (parts[0] == "decoders") == (kind == "decoder"):
                yield "/".join(parts), ".".join((package, *parts)), file


@cache
def _card(kind: Kind, name: str) -> Card:
    place = _places(kind)[name]
    file = place.file
    if file is None:
        file = locate.source_file(place.module)
        if file is None:
            raise UsageError(f"plug-in module {place.module!r} for {kind} {name!r} cannot be found.")
    tree = classes.tree(file)
    for node in tree.body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            continue
        facts = _facts(kind, node)
        if facts is None or (place.attribute and node.name != place.attribute):
            continue
        docstring = ast.get_docstring(node) or ast.get_docstring(tree) or ""
        parameters = tuple(_parameters(node, tree, place.module)) if isinstance(node, ast.ClassDef) else ()
        summary = docstring.split("\n", 1)[0]
        return Card(kind, name, place.module, node.name, summary, docstring, facts, parameters)
    raise UsageError(f"{file.name} holds no @{kind}; a file that registers nothing starts with an underscore.")


def _facts(kind: Kind, node: ast.ClassDef | ast.FunctionDef) -> dict[str, Any] | None:
    for mark in node.decorator_list:
        called = mark.func if isinstance(mark, ast.Call) else mark
        tail = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if tail == kind:
            keywords = mark.keywords if isinstance(mark, ast.Call) else []
            return {item.arg: ast.literal_eval(item.value) for item in keywords if item.arg}
    return None


def _parameters(node: ast.ClassDef, tree: ast.Module, module: str) -> Iterator[Parameter]:
    """The class's own fields after those of its bases, as far as these are dataclasses of ours or of a plug-in."""
    own: dict[str, Parameter] = {}
    for base in reversed(node.bases):
        found = classes.find(ast.unparse(base).partition("[")[0], tree, module, node)
        if found is not None and _is_dataclass(found[0]):
            own |= {item.name: item for item in _parameters(*found)}
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            annotation = ast.unparse(item.annotation)
            if not item.target.id.startswith("_") and "ClassVar" not in annotation:
                default = ast.unparse(item.value) if item.value else None
                own[item.target.id] = Parameter(item.target.id, annotation, default)
    yield from own.values()


def _is_dataclass(node: ast.ClassDef) -> bool:
    marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
    return not {"dataclass", *KINDS}.isdisjoint(ast.unparse(mark).rpartition(".")[2] for mark in marks)


def _suggest(query: str, known: Mapping[str, Any]) -> str:
    tails = {name.split("/")[-1]: name for name in known}
    near = difflib.get_close_matches(query, [*known, *tails], n=3, cutoff=0.6)
    full = list(dict.fromkeys(near_name if near_name in known else tails[near_name] for near_name in near))
    return f" Did you mean {' or '.join(repr(name) for name in full)}?" if full else ""


def _convert(owner: str, key: str, text: str, hint: Any) -> Any:
    """The value of a parameter from its text; lists are written with plus signs (`lengths=3+5`)."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    try:
        if origin is Literal:
            for choice in arguments:
                if str(choice) == text:
                    return choice
            raise ValueError(f"one of {', '.join(map(str, arguments))}")
        if origin in (typing.Union, types.UnionType):
            if text.lower() == "none" and type(None) in arguments:
                return None
            return _convert(owner, key, text, next(item for item in arguments if item is not type(None)))
        if origin is tuple:
            return tuple(_convert(owner, key, part, arguments[0]) for part in text.split("+") if part)
        if hint is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if hint in (int, float, str, Path):
            return hint(text)
    except (ValueError, KeyError) as problem:
        wanted = str(problem) if origin is Literal else getattr(hint, "__name__", str(hint))
        raise UsageError(f"{owner}: {key}={text!r} is not {wanted}.") from problem
    raise UsageError(f"{owner}: parameter {key} has a type that a spec cannot express ({hint}).")


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(_text(item) for item in value)
    return str(value)
