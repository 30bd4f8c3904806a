"""Which registered things does a spec reach by name? A tree: the spec's own, what its parameters name, their kernels.

    decoders/best_of                          what was asked for
      decoders/sample                         inner="sample"
    sequence/mamba2
      kernel causal_conv, kernel gated_linear

The signature takes the source of every part, the planner what each needs. Nothing has to be declared: a text among the
parameters counts as a spec when the code that it belongs to creates things of that kind and the text reads as the name
of one. A name too many costs a run computed anew; a name too few would serve a stored result for another.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness import modules
from harness.api import registry
from harness.api.errors import UsageError
from harness.api.registry import Kind

MAKES: tuple[Kind, ...] = tuple(kind for kind in registry.KINDS if kind != "kernel")


@dataclass(frozen=True, slots=True)
class Part:
    """One registered thing that a spec reaches, and what it reaches in turn."""

    kind: Kind
    spec: str  # as it was named, with the registered name in full
    module: str
    parts: tuple[Part, ...] = ()

    @property
    def facts(self) -> Mapping[str, Any]:
        """What its card says."""
        return registry.card(self.kind, registry.parse(self.spec)[0]).facts

    @property
    def carries(self) -> bool:
        """Whether it, or a part below it, carries state from prompt to prompt."""
        setting = str(self.facts.get("carries", ""))
        return setting in self._settings() or any(part.carries for part in self.parts)

    def walk(self) -> Iterator[Part]:
        """The part and all below it, depth first."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def _settings(self) -> set[str]:
        """`name=value` of every parameter, as given or by default."""
        name, given = registry.parse(self.spec)
        texts = {item.name: str(item.default).strip("'\"") for item in registry.card(self.kind, name).parameters}
        return {f"{key}={value}" for key, value in (texts | given).items()}

    def kernels(self) -> tuple[str, ...]:
        """The kernels that the part's own source reaches."""
        return tuple(sorted({name for found in self.source().values() for name in modules.kernels_of(found)}))

    def source(self) -> dict[str, modules.Module]:
        """The modules that the part's own source reaches, without those of the parts below it."""
        return modules.reached([self.module])


@cache
def resolve(kind: Kind, spec: str) -> Part:
    """The part that a spec names, with all below it; reads source text alone.

    Errors: UsageError on an unknown name.
    """
    return _resolve(kind, spec, ())


def of_object(thing: Any) -> tuple[Part, ...]:
    """What an object's own fields name, for one that no spec made."""
    if not is_dataclass(thing):
        return ()
    texts = [text for item in fields(thing) for text in _texts(getattr(thing, item.name))]
    return tuple(_named(type(thing).__module__, texts, ()))


def versions(roots: Iterable[Part]) -> dict[str, int]:
    """The stated version of every part that has changed its meaning since its first, as `model sequence/gss`: 2."""
    found = {}
    for part in (below for root in roots for below in root.walk()):
        version = part.facts.get("version", 1)
        if isinstance(version, int) and version != 1:
            found[f"{part.kind} {registry.parse(part.spec)[0]}"] = version
    return dict(sorted(found.items()))


def digest(roots: Iterable[Part], more: Iterable[str] = ()) -> str:
    """Digest of the source of parts, of all below them and of further modules, with all that these reach."""
    total = hashlib.sha256()
    for name, source in sorted(sources(roots, more).items()):
        total.update(f"{name}\0{len(source)}\0".encode())
        total.update(source)
    return total.hexdigest()[:16]


def sources(roots: Iterable[Part], more: Iterable[str] = ()) -> dict[str, bytes]:
    """Every file of `digest` as it was read: modules by name, data files as `module:path`."""
    found = modules.reached([*more, *(part.module for root in roots for part in root.walk())])
    data = {
        f"{name}:{file.relative_to(module.file.parent).as_posix()}": modules.content(file)
        for name, module in found.items()
        for file in module.data
    }
    return data | {name: module.source for name, module in found.items()}


def files(roots: Iterable[Part]) -> dict[Path, bytes]:
    """The files of parts and of all below them, as they were read."""
    found = modules.reached(part.module for root in roots for part in root.walk()).values()
    return {module.file: module.source for module in found} | {
        file: modules.content(file) for module in found for file in module.data
    }


def _resolve(kind: Kind, spec: str, above: tuple[tuple[Kind, str], ...]) -> Part:
    name, given = registry.parse(spec)
    card = registry.card(kind, name)
    spec = registry.format_spec(card.name, given)
    if (kind, spec) in above:
        # a thing whose default names itself
        return Part(kind, spec, card.module)
    texts = [text for item in card.parameters for text in _values(card.module, item, given)]
    return Part(kind, spec, card.module, tuple(_named(card.module, texts, (*above, (kind, spec)))))


def _named(module: str, texts: Iterable[str], above: tuple[tuple[Kind, str], ...]) -> Iterator[Part]:
    """The parts that texts name, for a module's own code."""
    source = modules.reached([module]).values()
    created = {item for found in source for item in found.creates}
    kinds = [kind for kind in MAKES if {(kind, modules.ANY), (modules.ANY, modules.ANY)} & created]
    wanted = [(kind, found) for text in texts for kind in kinds for found in _specs(kind, text)]
    spelled = [(kind, text) for kind in MAKES for named, text in sorted(created) if named == kind]
    wanted += [(kind, found) for kind, text in spelled for found in _specs(kind, text)]
    for kind, spec in dict.fromkeys(wanted):
        yield _resolve(kind, spec, above)


def _specs(kind: Kind, text: str) -> list[str]:
    """The specs of a kind that a text holds: itself, or its parts between plus signs or commas; [] where it is none."""
    if _names_one(kind, text):
        return [text]
    try:
        parts = [spec for part in text.split("+") for spec in registry.split_specs(part)]
    except UsageError:
        # an empty part or a bracket too many: a text of another meaning
        return []
    return [part for part in parts if _names_one(kind, part)]


def _names_one(kind: Kind, text: str) -> bool:
    try:
        registry.resolve(kind, registry.parse(text)[0])
    except UsageError:
        return False
    return True


def _values(module: str, parameter: registry.Parameter, given: Mapping[str, str]) -> list[str]:
    """The texts that a parameter holds: what the spec gives, else what its default says."""
    if parameter.name in given:
        return [given[parameter.name]]
    return list(_literal(module, parameter.default or ""))


def _literal(module: str, expression: str) -> Iterator[str]:
    """Every text in a default, a name being looked up among the constants of the modules that are reached."""
    for node in ast.walk(ast.parse(expression or "()", mode="eval")):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name):
            for found in modules.reached([module]).values():
                for text in (value for name, value in found.constants if name == node.id):
                    yield from _texts(ast.literal_eval(text))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (tuple, list, frozenset, set)):
        for item in value:
            yield from _texts(item)


def forget() -> None:
    """Read everything anew from now on."""
    resolve.cache_clear()
    modules.forget()
