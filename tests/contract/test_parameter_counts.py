"""How many parameters has each mixer? As many as its closed form in the width says, at the registered defaults."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from harness.api import registry
from harness.models.sequence._backbone import Backbone, Shape, parameters
from harness.models.sequence._mixer import Mixer, Site

# d width, n states, h heads, k taps, v gate or value width, e width of a head
NAMES = [name for name in registry.names("model") if name.startswith("sequence/")]
LENGTH = 37  # tokens of the longest training sequence, which linformer's mixtures span


def recurrent(inputs: int, gates: int, biases: int, heads: int = 1) -> Callable[[int], int]:
    """Input maps, block-diagonal recurrent maps and biases of a cell."""
    return lambda d: inputs * d * d + gates * d * d // heads + biases * d


def diagonal(d: int, n: int = 64) -> int:
    """n / 2 complex poles and weights a channel, a step and a skip a channel, and the map to a GLU."""
    return 2 * d * n // 2 + d * n + 2 * d + linear(d, 2 * d)


def gated_chunks(d: int, keys: int = 16, chunk: int = 128) -> int:
    """Values of 2 d; update, keys, reset and hidden from one map; scale and shift of queries and keys; distances."""
    return linear(d, 2 * d) + linear(d, 4 * d + keys) + 2 * d * d + 2 * 2 * keys + chunk


def hyena(d: int, order: int = 2, hidden: int = 64) -> int:
    """Two maps, the short filter, the network of the long filters with its sines' frequencies, and the skips."""
    network = linear(3, hidden) + 2 * linear(hidden, hidden) + hidden * (order - 1) * d + hidden
    return linear(d, (order + 1) * d) + conv((order + 1) * d, 3) + network + (order - 1) * d + linear(d, d)


def gss(d: int, n: int = 64) -> int:
    """A state space with one spectrum over d / 4, after a norm, under a gate of 4 d; only the way out has a bias."""
    reduced, gate = d // 4, 4 * d
    space = 2 * n + 2 * n * reduced + reduced
    return d * reduced + d * gate + 2 * reduced + space + reduced * gate + linear(gate, d)


def mamba(d: int, n: int = 16, k: int = 4) -> int:
    """A selective scan of 2 d channels; the step comes through a bottleneck of d / 16, rounded up."""
    inner, rank = 2 * d, -(-d // 16)
    return 2 * d * inner + conv(inner, k) + inner * (rank + 2 * n) + linear(rank, inner) + inner * n + inner + inner * d


def mamba2(d: int, n: int = 64, k: int = 4, size: int = 32) -> int:
    """Scalar decay, step and skip a head; one map in for all; a gated norm."""
    inner = 2 * d
    heads = inner // size
    return d * (2 * inner + 2 * n + heads) + conv(inner + 2 * n, k) + 3 * heads + inner + inner * d


def matrix_block(d: int, h: int = 4) -> int:
    """xLSTM's first block: up to 2 d and a gate, maps in blocks of four, a norm, a skip, and down."""
    inner = 2 * d
    return 2 * d * inner + conv(inner, 4) + 3 * 4 * inner + linear(3 * inner, 2 * h) + inner + inner + inner * d


def titans(d: int, h: int = 4, expand: int = 2) -> int:
    """Maps and taps of q, k, v; three rates a head; first weights of h memories of two layers; norm, gate, way out."""
    e = d // h
    return 3 * d * d + conv(3 * d, 4) + linear(d, 3 * h) + h * 2 * e * expand * e + d + d * d + d * d


def linear(enter: int, leave: int) -> int:
    """A map with a bias."""
    return enter * leave + leave


def conv(channels: int, taps: int) -> int:
    """A depthwise convolution with a bias."""
    return channels * taps + channels


def attention(d: int) -> int:
    """Queries, keys, values and the way out."""
    return 4 * d * d


COUNTS: dict[str, Callable[[int], int]] = {
    "sequence/aaren": lambda d: 3 * d * d + d,
    "sequence/bigbird": attention,
    "sequence/dss": lambda d: 2 * 64 + 2 * 64 * d + 2 * d + d + linear(d, d),
    "sequence/elman": recurrent(1, 1, 1),
    "sequence/ettin": attention,
    "sequence/flashrnn": recurrent(4, 4, 4, heads=4),
    "sequence/gru": recurrent(3, 3, 4),
    "sequence/gss": gss,
    "sequence/hippo": lambda d: linear(2 * d + 64, 2 * d) + linear(d, 1),
    "sequence/hyena": hyena,
    "sequence/informer_encoder": lambda d: 4 * linear(d, d),
    "sequence/jordan": lambda d: linear(d, d) + linear(d, 16) + 16 * d + linear(16, d),
    "sequence/linear_attention": attention,
    "sequence/linformer": lambda d: attention(d) + 2 * 64 * LENGTH,
    "sequence/liquid_s4": diagonal,
    "sequence/local": attention,
    "sequence/longformer": lambda d: attention(d) + 3 * d * d,
    "sequence/lru": lambda d: 3 * 64 + 2 * 2 * 64 * d + d + linear(d, 2 * d),
    "sequence/lssl": lambda d: 64 * 64 + 64 + 64 * d + 2 * d + linear(d, d),
    "sequence/lstm": recurrent(4, 4, 4),
    "sequence/mamba": mamba,
    "sequence/mamba2": mamba2,
    "sequence/mega": lambda d: 4 * 16 * d + d + gated_chunks(d),
    "sequence/mlstm": lambda d: 2 * d * d + linear(d, 2 * 4) + d * d + d + d * d,
    "sequence/performer": attention,
    "sequence/plstm": lambda d: 3 * d * d + linear(d, 5 * 4) + d + d * d,
    # 37 positions stand in 6 rows of 7 columns, each with half of the channels
    "sequence/reformer": lambda d: 3 * d * d + (6 + 7) * d // 2,
    "sequence/s4": lambda d: 3 * 64 + 64 * d + 2 * d + linear(d, 2 * d),
    "sequence/s4d": diagonal,
    "sequence/s4nd": diagonal,
    "sequence/slstm": recurrent(4, 4, 4, heads=4),
    "sequence/tcn": lambda d: 2 * 4 * (3 * d * d + 2 * d),
    "sequence/tcnca": lambda d: 3 * conv(d, 17) + gated_chunks(d),
    "sequence/titans": titans,
    "sequence/transformer": attention,
    "sequence/xlstm": matrix_block,
}


def mixer(name: str, width: int) -> Mixer:
    made: Mixer = registry.create("model", f"{name}:width={width}").mixer(Site(width, 0, 2, LENGTH))
    return made


def test_every_registered_mixer_has_a_closed_form() -> None:
    assert sorted(COUNTS) == sorted(NAMES)


@pytest.mark.parametrize("width", [16, 80])
@pytest.mark.parametrize("name", NAMES)
def test_the_count_is_the_closed_form(name: str, width: int) -> None:
    assert parameters(mixer(name, width)) == COUNTS[name](width)


@pytest.mark.parametrize("name", NAMES)
def test_a_mixer_is_counted_without_memory_for_it(name: str) -> None:
    # the search for the width that a budget of parameters allows builds every candidate on the meta device
    with torch.device("meta"):
        assert parameters(mixer(name, 16)) == COUNTS[name](16)


@pytest.mark.parametrize("name", ["sequence/lstm", "sequence/mamba"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_stack_adds_norms_an_mlp_where_wanted_an_embedding_and_a_head(name: str, tied: bool) -> None:
    d, depth, vocabulary = 16, 3, 11
    brings_its_own = not mixer(name, d).feedforward
    block = COUNTS[name](d) + 2 * d + (0 if brings_its_own else 2 * d + linear(d, 2 * d) + linear(2 * d, d))
    shape = Shape(d, depth, vocabulary, vocabulary=vocabulary, per_position=True, tied=tied)
    head = 0 if tied else linear(d, vocabulary)
    assert parameters(Backbone(shape, lambda layer: mixer(name, d))) == vocabulary * d + depth * block + 2 * d + head
