"""Do the metrics of drafting count calls and weights as their definitions say?"""

from __future__ import annotations

import numpy as np
import pytest

from harness.api import registry
from harness.api.types import Example, Generate, Generated

EXAMPLE = Example("a", (Generate("x", 9),))


def answer(accepted: tuple[int, ...], **extra: float) -> Generated:
    return Generated("", tuple(range(sum(accepted))), accepted=accepted, calls=len(accepted) + 1, extra=extra)


def reduced(name: str, *answers: Generated) -> float:
    metric = registry.create("metric", name)
    return metric.reduce(np.stack([metric.measure(EXAMPLE, [item]) for item in answers]))


def test_without_a_draft_model_the_memory_bound_is_the_mean_accepted_length() -> None:
    found = [answer((2, 3)), answer((1,))]
    assert reduced("mbsu", *found) == pytest.approx(6 / 3) == reduced("mean_accepted_tokens", *found)
    assert reduced("draft_calls", *found) == 0.0


def test_a_draft_of_a_quarter_of_the_weights_called_twice_a_step_costs_half_a_call() -> None:
    found = answer((3, 3), draft_calls=4.0, draft_share=0.25)
    assert reduced("mbsu", found) == pytest.approx(6 / (2 + 4 * 0.25))
    assert reduced("draft_calls", found) == 2.0


@pytest.mark.parametrize("name", ["mbsu", "draft_calls", "mean_accepted_tokens"])
def test_an_example_without_a_call_does_not_count(name: str) -> None:
    assert np.isnan(registry.create("metric", name).measure(EXAMPLE, [answer(())])).all()
