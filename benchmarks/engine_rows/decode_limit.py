"""Where does the time of a decode step go? Its products, what is left without them, and the floor, in one run.

A round takes STEPS turns of each: (a) the whole step; (b) the bare products of one step, every matrix of the model in
its order, so that all weights come from memory; (c) the floor's products, as many bytes in matrices of the head's size;
(d) the step with its products stubbed out. The shapes' times are taken within (b).
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import torch

from engine_rows._bench import Bench, Outcome, floor_layers
from harness.api.protocols import TokenModel
from harness.models.lms._llama import Network
from harness.models.lms._runtime import LlamaRuntime
from harness.timing import clock

STEPS = 8  # of each side in a round
CONTEXT = 64  # tokens before the first step
SHAPES = ("q, k, v", "o", "gate", "up", "down", "head")


class Stub:
    """A product that costs nothing: zeros of its shape, or the other operand."""

    layout = "stub"

    def __init__(self, outputs: int, dtype: torch.dtype) -> None:
        self.outputs = outputs
        self._zeros_1O = torch.zeros(1, outputs, dtype=dtype)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self._zeros_1O

    def added(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return other

    silu = __call__
    times = added


def stubbed(network: Network) -> Network:
    """The same network without its products."""
    bare = copy.copy(network)
    bare.head = Stub(network.head.outputs, network.dtype)
    bare.layers = [copy.copy(layer) for layer in network.layers]
    for layer in bare.layers:
        for name in ("qkv", "output", "gate", "up", "down"):
            setattr(layer, name, Stub(getattr(layer, name).outputs, network.dtype))
    return bare


def products(network: Network) -> Callable[[], dict[str, float]]:
    """One step's products on fixed inputs; seconds of each shape."""
    shape = network.shape
    x, mixed, hidden = (
        torch.randn(1, size, dtype=network.dtype)
        for size in (shape.width, shape.heads * shape.head_width, shape.hidden)
    )
    calls: list[tuple[str, Callable[[], torch.Tensor]]] = []
    for layer in network.layers:
        calls += [
            ("q, k, v", lambda layer=layer: layer.qkv(x)),
            ("o", lambda layer=layer: layer.output.added(mixed, x)),
            ("gate", lambda layer=layer: layer.gate.silu(x)),
            ("up", lambda layer=layer: layer.up.times(x, hidden)),
            ("down", lambda layer=layer: layer.down.added(hidden, x)),
        ]
    calls.append(("head", lambda: network.head(x)))

    def run() -> dict[str, float]:
        taken: defaultdict[str, float] = defaultdict(float)
        before = clock()
        for name, call in calls:
            call()
            now = clock()
            taken[name] += now - before
            before = now
        return taken

    return run


def weights_of(network: Network) -> dict[str, int]:
    """Weights that one step reads, by shape."""
    shape = network.shape
    read, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    gated = shape.layers * shape.width * shape.hidden
    return {
        "q, k, v": shape.layers * shape.width * (read + 2 * keys), "o": shape.layers * shape.width * read,
        "gate": gated, "up": gated, "down": gated, "head": shape.vocabulary * shape.width,
    }  # fmt: skip


def stepping(lm: TokenModel, steps: int) -> Callable[[], None]:
    """One step a call, each a token further on."""
    state = lm.start(1, CONTEXT + steps)

    def run() -> None:
        nonlocal state
        state = lm.step(state, [[7]]).state

    # a stub answers for one token at a time
    for _ in range(CONTEXT):
        run()
    return run


def decode_limit(bench: Bench, dtype: str) -> Iterator[Outcome]:
    """Milliseconds a token of each part, and the rate at which each shape's weights are read."""
    network = bench.ours(dtype).lm.network  # type: ignore[attr-defined]
    weights = weights_of(network)
    size = sum(weights.values()) * network.dtype.itemsize
    steps, each = bench.rounds * STEPS, defaultdict(list)
    bare = products(network)
    layers = floor_layers(size, network.dtype)
    held = sum(layer.outputs for layer in layers) * 576 * network.dtype.itemsize
    x = torch.randn(1, 576, dtype=network.dtype)
    with torch.inference_mode():
        sides: dict[str, Callable[[], object]] = {
            "step": stepping(LlamaRuntime(network, 8192, []), steps + 2),
            "products": lambda: each_shape.append(bare()),
            "floor": lambda: [layer(x) for layer in layers],
            "rest": stepping(LlamaRuntime(stubbed(network), 8192, []), steps + 2),
        }
        each_shape: list[dict[str, float]] = []
        for side in sides.values():
            side()
            side()
        each_shape.clear()
        for _ in range(bench.rounds):
            for name, side in sides.items():
                for _ in range(STEPS):
                    begun = clock()
                    side()
                    each[name].append(clock() - begun)
    times = {name: np.array(seconds).reshape(bench.rounds, STEPS) * 1e3 for name, seconds in each.items()}
    times["floor"] *= size / held
    floor = float(np.median(times["floor"]))
    rate = size / floor / 1e6  # GB/s
    name = f"limit-{network.dtype}".replace("torch.", "")
    for side, found in times.items():
        share = f"{np.median(found) / np.median(times['step']):.0%} of the step"
        note = f"{share}; {size / np.median(found) / 1e6:.1f} GB/s" if side != "rest" else f"{share}, products stubbed"
        yield Outcome(f"{name} {side}", spread(found), note=note)
    for shape in SHAPES:
        found = np.array([taken[shape] for taken in each_shape]).reshape(bench.rounds, STEPS) * 1e3
        reads = weights[shape] * network.dtype.itemsize / float(np.median(found)) / 1e6
        yield Outcome(f"{name} {shape}", spread(found), note=f"{reads:.1f} GB/s, {reads / rate:.0%} of the floor's")


def spread(times_RS: np.ndarray) -> str:
    """Median of all, with a bootstrap interval over rounds."""
    draws = np.random.default_rng(0).integers(0, len(times_RS), (2000, len(times_RS)))
    low, high = np.percentile(np.median(times_RS[draws].reshape(len(draws), -1), axis=1), [2.5, 97.5])
    return f"{np.median(times_RS):.2f} ms [{low:.2f}, {high:.2f}]"


ROWS = {
    "decode-limit": lambda bench: (row for dtype in ("float32", "bfloat16") for row in decode_limit(bench, dtype)),
}
