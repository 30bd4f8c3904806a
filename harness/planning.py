"""Which combinations of task, model and decoder make sense? Decided from cards, before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import parts
from harness.api import registry
from harness.api.errors import UsageError
from harness.api.types import Budget
from harness.boundary import ForeignError, foreign

DEFAULT_DECODER = "greedy"


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination to run, by name; equal cells on one machine have equal results."""

    task: str
    model: str
    decoder: str | None = None
    split: str = "test"
    limit: int | None = None  # examples; None is all of them
    seed: int = 0
    device: str = "auto"  # "auto", "cpu" or "cuda"
    dtype: str = "auto"  # "auto", "float32", "bfloat16" or "float16"
    budget: Budget = field(default_factory=Budget)

    @property
    def title(self) -> str:
        """How a table or an error names the cell."""
        decoder = f" + {self.decoder}" if self.decoder else ""
        return f"{self.task} x {self.model}{decoder}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A combination that was asked for and makes no sense."""

    cell: Cell
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The cells to run, those of one model side by side (so that it is loaded once), and those refused."""

    cells: tuple[Cell, ...]
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the cards and the torch-free task object say; all that a refusal needs."""

    door: str
    model_doors: tuple[str, ...]
    decodes: bool = False
    learns: bool = False
    offers: tuple[str, ...] | None = None  # what the model's TokenModel offers a decoder; None: its card is silent
    needs: tuple[str, ...] = ()


def plan(
    tasks: Sequence[str],
    models: Sequence[str],
    decoders: Sequence[str] = (),
    *,
    split: str = "test",
    limit: int | None = None,
    seeds: Sequence[int] = (0,),
    device: str = "auto",
    dtype: str = "auto",
    budget: Budget | None = None,
) -> Plan:
    """Every combination of specs (as `registry.select` gives them); the senseless ones are refused with a reason.

    A task that does not generate, or a model that does not decode, runs once without a decoder when a decoder is
    given for other combinations; when no combination takes the decoders, each is refused.

    Errors: UsageError on a bad limit, device or dtype, on an unknown name, and on no combination at all.
    """
    _check_values(limit, device, dtype, seeds)
    doors = {task: _door_or_nothing(task) for task in tasks}
    cards = {model: _facts("model", model) for model in models}
    takers = [
        (task, model)
        for model in models
        for task in tasks
        if takes_decoder(doors[task], bool(cards[model].get("decodes")))
    ]
    cells: list[Cell] = []
    refusals: list[Refusal] = []
    for model in models:
        for task in tasks:
            decodes = takes_decoder(doors[task], bool(cards[model].get("decodes")))
            options: Sequence[str | None] = [None]
            if decodes:
                options = decoders or [DEFAULT_DECODER]
            elif decoders and not takers:
                options = decoders
            for decoder in options:
                for seed in seeds:
                    cell = Cell(task, model, decoder, split, limit, seed, device, dtype, budget or Budget())
                    reason = refusal(cell)
                    if reason:
                        refusals.append(Refusal(cell, reason))
                    else:
                        cells.append(cell)
    if not cells and not refusals:
        raise UsageError("nothing to run: name at least one task and one model.")
    return Plan(tuple(dict.fromkeys(cells)), tuple(dict.fromkeys(refusals)))


def takes_decoder(door: str, decodes: bool) -> bool:
    """Whether a decoder has anything to do."""
    return door == "generate" and decodes


def refusal(cell: Cell) -> str | None:
    """Why the cell makes no sense, or None; reads cards and builds the task object, loads nothing."""
    model = _facts("model", cell.model)
    offers = model.get("offers")
    try:
        door = _door(cell.task)
    except ForeignError as problem:
        return str(problem)
    facts = Facts(
        door=door,
        model_doors=tuple(model.get("doors", ())),
        decodes=bool(model.get("decodes")),
        learns=bool(model.get("learns")),
        offers=None if offers is None else tuple(offers),
        needs=_needs(cell.decoder) if cell.decoder else (),
    )
    return judge(cell, facts)


def judge(cell: Cell, facts: Facts) -> str | None:
    """The rules of `refusal` on facts alone."""
    if facts.door not in facts.model_doors:
        doors = ", ".join(facts.model_doors) or "nothing"
        return f"{cell.task} asks models to {facts.door}, but {cell.model} can only {doors}."
    if cell.decoder and facts.door != "generate":
        return f"{cell.task} asks models to {facts.door}, so the decoder {cell.decoder} has nothing to decode."
    if cell.decoder and not facts.decodes:
        return f"{cell.model} generates in its own way and takes no decoder, but {cell.decoder} was asked for."
    if facts.decodes and facts.door == "generate" and not cell.decoder:
        return f"{cell.model} needs a decoder to generate; name one, such as {DEFAULT_DECODER}."
    if facts.offers is not None:
        missing = [need for need in facts.needs if need not in facts.offers]
        if missing:
            return f"the decoder {cell.decoder} needs {' and '.join(missing)}, which {cell.model} does not offer."
    return None


def _door(task: str) -> str:
    with foreign(f"importing {task}"):
        return str(registry.create("task", task).door)


def _door_or_nothing(task: str) -> str:
    try:
        return _door(task)
    except ForeignError:
        # its cells are refused one by one, with the reason
        return ""


def _needs(decoder: str) -> tuple[str, ...]:
    """What the decoder needs of its target, and every decoder that it wraps."""
    wrapped = [part for part in parts.resolve("decoder", decoder).walk() if part.kind == "decoder"]
    return tuple(dict.fromkeys(str(need) for part in wrapped for need in part.facts.get("needs", ())))


def _facts(kind: registry.Kind, spec: str) -> Mapping[str, Any]:
    name, _ = registry.parse(spec)
    return registry.card(kind, name).facts


def _check_values(limit: int | None, device: str, dtype: str, seeds: Sequence[int]) -> None:
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}; it counts examples, so give 1 or more, or leave it out for all.")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device is {device!r}; it must be auto, cpu or cuda.")
    if dtype not in ("auto", "float32", "bfloat16", "float16"):
        raise UsageError(f"dtype is {dtype!r}; it must be auto, float32, bfloat16 or float16.")
    if not seeds or min(seeds) < 0:
        raise UsageError(f"seeds are {', '.join(map(str, seeds)) or 'none'}; give whole numbers of 0 or more.")
