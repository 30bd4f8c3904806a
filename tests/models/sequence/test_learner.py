"""Does the learner cut gradients, and nothing else, when it is told how far back they reach?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Budget
from harness.models.sequence._learner import FittedSequence, Table

TASK = "long_range/parity:length=36,train=8,validation=4,test=4"
NOWHERE: Any = None


@pytest.fixture(autouse=True)
def gradients(without_gradients: None) -> Iterator[None]:
    """What is learned is the subject here."""
    with torch.enable_grad():
        yield


def table() -> Table:
    return Table.of(registry.create("task", TASK).examples("train", 0, NOWHERE))


def untrained(spec: str, data: Table) -> FittedSequence:
    torch.manual_seed(0)
    network = registry.create("model", spec).network(data.facts).double().train()
    return FittedSequence(network, data.facts, "cpu")


@pytest.mark.parametrize("name", ["mamba2", "s4d", "lstm", "transformer", "titans", "mamba2:window=5"])
@pytest.mark.parametrize("reach", [5, 12, 36, 50])
def test_the_loss_is_that_of_the_whole_sequence_however_far_gradients_reach(name: str, reach: int) -> None:
    data = table()
    model = untrained(f"sequence/{name}{',' if ':' in name else ':'}width=8,depth=1", data)
    whole, graded = model.loss(data, range(4))
    cut, same = model.loss(data, range(4), reach)
    assert float(cut.detach()) == pytest.approx(float(whole.detach()), rel=1e-9)
    assert graded == same == 4 * 36


def test_gradients_end_where_the_reach_ends() -> None:
    data = table()
    model = untrained("sequence/gru:width=8,depth=1", data)
    heard: list[torch.Tensor] = []
    model.network.embed.register_forward_hook(lambda _module, _inputs, out: (out.retain_grad(), heard.append(out))[1])
    outputs = model._outputs([data.inputs[0]], (), 12)
    outputs[:, 24:].square().sum().backward()
    first, second, third = (piece.grad for piece in heard)
    assert float(first.abs().max()) == float(second.abs().max()) == 0
    assert float(third.abs().max()) > 0


def test_a_fit_with_a_reach_ends_in_other_weights_and_answers_as_ever() -> None:
    found = {}
    for reach in (0, 12):
        task = registry.create("task", TASK)
        fitted = registry.create("model", f"sequence/mamba2:width=8,depth=1,backprop={reach}").fit(
            lambda task=task: task.examples("train", 0, NOWHERE),
            lambda task=task: task.examples("validation", 0, NOWHERE),
            seed=0, budget=Budget(steps=3), setting=Setting(NOWHERE), meter=SilentMeter(),
        )  # fmt: skip
        requests = [example.requests[0] for example in task.examples("test", 0, NOWHERE)]
        found[reach] = fitted.label(requests, meter=SilentMeter())[0].scores
    assert found[0].shape == found[12].shape == (128, 2)
    assert abs(found[0] - found[12]).max() > 1e-7


@pytest.mark.parametrize(
    ("model", "task", "why"),
    [
        ("sequence/linformer:backprop=4", TASK, "carries a state"),
        ("sequence/gru:backprop=4,bidirectional=true", TASK, "carries a state"),
        ("sequence/gru:backprop=4", "long_range/arrow_pointing:size=16,train=4,validation=2", "graded positions"),
        ("sequence/gru:backprop=-1", TASK, "must be a number of steps"),
    ],
)
def test_a_reach_needs_a_carried_state_and_graded_positions(model: str, task: str, why: str) -> None:
    made = registry.create("task", task)
    with pytest.raises(UsageError, match=why):
        registry.create("model", model).fit(
            lambda: made.examples("train", 0, NOWHERE), lambda: made.examples("validation", 0, NOWHERE),
            seed=0, budget=Budget(steps=1), setting=Setting(NOWHERE), meter=SilentMeter(),
        )  # fmt: skip
