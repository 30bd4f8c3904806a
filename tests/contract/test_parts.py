"""Is whatever a registered thing really creates, or calls by name, one of the parts that its signature is made of?

Parts are found in source text; here the code runs, and what it asks the registry and the kernels for is written down.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch

from harness.api import registry
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Budget
from harness.kernels._dispatch import ran
from harness.models.sequence._mixer import Site
from harness.parts import resolve

NOWHERE: Any = None
SEQUENCE = [name for name in registry.names("model") if name.startswith("sequence/")]
# one value for each parameter that names other things, where its default is none or stays within the target
NAMED = {"draft": "(lms/smollm2)", "model": "lms/smollm2", "models": "lms/smollm2+lms/ngram"}


class Stop(Exception):  # noqa: N818 - the end of a look, no error
    """Nothing is built: being asked for it is enough."""


def wrappers() -> Iterator[Any]:
    """Every registered model and decoder with a parameter that is a text, and so may name another thing."""
    kinds: tuple[registry.Kind, ...] = ("model", "decoder")
    for kind in kinds:
        for name in registry.names(kind):
            parameters = registry.card(kind, name).parameters
            texts = [item for item in parameters if item.annotation == "str"]
            given = ",".join(f"{item.name}={NAMED[item.name]}" for item in texts if item.name in NAMED)
            if texts and not any(item.default is None and item.name not in NAMED for item in parameters):
                yield pytest.param(kind, f"{name}:{given}" if given else name, id=name)


@pytest.mark.parametrize(("kind", "spec"), list(wrappers()))
def test_all_that_is_created_by_name_is_a_part(kind: registry.Kind, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = registry.create(kind, spec)
    asked: set[tuple[str, str]] = set()

    def watched(what: registry.Kind, name: str) -> Any:
        asked.add((what, registry.resolve(what, registry.parse(name)[0])))
        raise Stop

    monkeypatch.setattr(registry, "create", watched)
    setting = Setting(NOWHERE)
    calls: list[Any] = [
        lambda: made.fingerprint(setting),
        lambda: made.prepare(setting, NOWHERE),
        lambda: made.load(setting),
        lambda: made.fit(list, list, seed=0, budget=Budget(), setting=setting, meter=SilentMeter()),
        lambda: made.decode(NOWHERE, [], seeds=[], meter=SilentMeter()),
    ]
    for call in calls:
        # what it lacks here (weights, a target) ends it in its own way
        with suppress(Exception):
            call()
    parts = {(part.kind, registry.parse(part.spec)[0]) for part in resolve(kind, spec).walk()}
    assert asked <= parts
    assert bool(asked) == (len(parts) > 1), "a part that nothing asks for"


def test_the_wrappers_are_looked_at() -> None:
    names = {param.id for param in wrappers()}
    assert {"decoders/best_of", "decoders/speculative", "embedders/probe", "lms/scratch", "seq2seq/ensemble"} <= names


@pytest.mark.parametrize("name", SEQUENCE)
def test_every_kernel_that_runs_is_a_part(name: str) -> None:
    torch.manual_seed(0)
    made = registry.create("model", f"{name}:width=16").mixer(Site(16, 0, 2, 37))
    with ran() as paths:
        made(torch.randn(2, 37, 16))
    assert set(paths) <= set(resolve("model", name).kernels())
