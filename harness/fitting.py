"""How is a learner trained without ever seeing a test example? It gets streams that refuse to carry one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from harness.api.errors import HarnessError, UsageError
from harness.api.protocols import Setting
from harness.api.types import Example
from harness.boundary import foreign
from harness.pairing import Pairing
from harness.signature import asked
from harness.timing import RunMeter

SEES = ("train", "validation")
SIZE_TOLERANCE = 0.1  # the Long Range Arena's own


@dataclass(slots=True)
class _Tested:
    """What is tested, by id and by question."""

    ids: set[str] = field(default_factory=set)
    questions: set[str] = field(default_factory=set)
    overlap: set[str] = field(default_factory=set)  # questions seen in training too


def fit(pairing: Pairing, setting: Setting, meter: RunMeter) -> tuple[Any, tuple[str, ...]]:
    """The fitted model, and what a reader must know of the split (nothing, or how many questions are in both).

    Errors: UsageError when the run tests on a split that the learner is trained on, HarnessError when a training
    split holds the id of a test example, or when the learner breaks.
    """
    cell = pairing.cell
    if cell.split in SEES:
        raise UsageError(f"{cell.model} is trained on the split {cell.split!r}; test it on another one.")
    tested = _Tested()
    with foreign(f"task {pairing.task_spec}"):
        for example in islice(pairing.task.examples(cell.split, cell.seed, setting.sources), cell.limit):
            tested.ids.add(example.id)
            tested.questions.add(asked(example))
    with foreign(f"fitting {pairing.model_spec}"):
        loaded = pairing.model.fit(
            _stream(pairing, setting, "train", tested),
            _stream(pairing, setting, "validation", tested),
            seed=cell.seed,
            budget=cell.budget,
            setting=setting,
            meter=meter,
        )
        identity = dict(loaded.identity)
    _keep_to(cell.budget.parameters, identity, pairing.model_spec)
    return loaded, _notes(tested) + _size_notes(pairing.task, identity)


def _stream(pairing: Pairing, setting: Setting, split: str, tested: _Tested) -> Callable[[], Iterator[Example]]:
    def restart() -> Iterator[Example]:
        stream = pairing.task.examples(split, pairing.cell.seed, setting.sources)
        if split == "validation":
            try:
                stream = chain([next(iter_ := iter(stream))], iter_)
            except (UsageError, StopIteration):
                # a task without a validation split has nothing to validate on, and its learners stop on budget
                return
        for example in stream:
            if example.id in tested.ids:
                raise HarnessError(
                    f"{pairing.task_spec}: the {split} split holds the test example {example.id!r}; "
                    "a task must keep its splits apart."
                )
            question = asked(example)
            if question in tested.questions:
                tested.overlap.add(question)
            yield example

    return restart


def _keep_to(limit: int, identity: Mapping[str, Any], model: str) -> None:
    """HarnessError when a network is larger than the budget allows, or does not say how large it is."""
    if not limit:
        return
    found = identity.get("parameters")
    if not isinstance(found, int):
        raise HarnessError(f"{model} does not say how many parameters it has, but the budget allows {limit:,}.")
    if found > limit:
        raise HarnessError(f"{model} has {found:,} parameters, but the budget allows {limit:,}; make it smaller.")


def _size_notes(task: Any, identity: Mapping[str, Any]) -> tuple[str, ...]:
    """A benchmark that names a reference size (LRA) compares models within 10% of it; others are marked."""
    reference, found = getattr(task, "reference_parameters", 0), identity.get("parameters")
    if not reference or not isinstance(found, int) or abs(found - reference) <= reference * SIZE_TOLERANCE:
        return ()
    return (
        f"{found:,} parameters are {found / reference:.2g} times the benchmark's reference model ({reference:,}); "
        "its rule asks for within 10%",
    )


def _notes(tested: _Tested) -> tuple[str, ...]:
    if not tested.overlap:
        return ()
    return (f"{len(tested.overlap)} of {len(tested.questions)} test questions are also asked in training",)
