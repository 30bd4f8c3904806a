"""Invariants of methods are about values; the contract's suite looks at gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from harness.models.sequence._mixer import Mixer


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    """Values only."""
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.fixture
def disagreement() -> Callable[..., float]:
    """How far steps and uneven chunks of a mixer are from its parallel form: the contract, for one choice."""

    def measure(mixer: Mixer, width: int, length: int = 23) -> float:
        mixer = mixer.double().eval()
        x = torch.randn(2, length, width, dtype=torch.float64)
        whole, _ = mixer(x)
        worst = 0.0
        for sizes in ([1] * length, [3, 0, 9, length - 12]):
            state, parts = mixer.start(2, x.device, x.dtype), []
            for piece in x.split(sizes, 1):
                if len(sizes) == length:
                    y, state = mixer.step(piece[:, 0], state)
                    parts.append(y[:, None])
                else:
                    y, state = mixer(piece, state)
                    parts.append(y)
            worst = max(worst, float((torch.cat(parts, 1) - whole).norm() / whole.norm()))
        state = mixer.float().start(1, torch.device("cpu"), torch.float32)
        for time in range(length):
            _, state = mixer.step(x[:1, time].float(), state)
        assert sum(item.numel() * item.element_size() for item in state.values()) == mixer.state_bytes(length)
        return worst

    return measure
