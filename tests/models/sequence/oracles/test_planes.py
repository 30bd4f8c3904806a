"""Is pLSTM the graph of its paper: all edges' memories at once, as the solution of one linear system?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special

from harness.models.sequence._mixer import Site
from harness.models.sequence._plane import Mode
from harness.models.sequence.plstm import PLSTM, LineLayer, PlaneLayer

WIDTH, HEADS = 8, 4
SIZE = WIDTH // HEADS
Array = NDArray[Any]


def array(tensor: torch.Tensor) -> Array:
    return tensor.detach().numpy()


def graph(mode: Mode, gate: Array) -> tuple[Array, Array, Array]:
    """Sources [E], transitions [E, E], marks [node, E] of gates [n, R, C]; all edges to the right, then all down."""
    _, rows, columns = gate.shape
    nodes = rows * columns
    source, transition, mark = np.zeros(2 * nodes), np.zeros((2 * nodes, 2 * nodes)), np.zeros((nodes, 2 * nodes))
    for node, (r, c) in enumerate(np.ndindex(rows, columns)):
        # edges out of the node and into it; those that come from outside of the image carry nothing
        right, down = node, nodes + node
        left, above = (node - 1 if c else None), (nodes + node - columns if r else None)
        if mode == "P":
            s, keep, m, turn = gate[:, r, c]
            out = {
                right: (s * turn, keep * turn, keep * turn),
                down: (s * (1 - turn), keep * (1 - turn), keep * (1 - turn)),
            }
            marks = (m, m)
        else:
            s, keep, m, s_down, keep_down, m_down, turn = gate[:, r, c]
            out = {right: (s, keep, 0.0), down: (s_down, turn, keep_down)}
            marks = (m, m_down)
        for edge, (enters, from_left, from_above) in out.items():
            source[edge] = enters
            for incoming, share in ((left, from_left), (above, from_above)):
                if incoming is not None:
                    transition[edge, incoming] = share
        for incoming, weight in zip((left, above), marks, strict=True):
            if incoming is not None:
                mark[node, incoming] = weight
    return source, transition, mark


def normed(y: Array, weight: Array) -> Array:
    return y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-5) * weight


@pytest.mark.parametrize("mode", ["P", "D"])
def test_an_image_is_the_solution_of_its_graph(largest: Callable[[Any, Any], float], mode: Mode) -> None:
    rows, columns = 4, 5
    made = PLSTM(heads=HEADS, mode=mode, start_bias=0.0).mixer(Site(WIDTH, grid=(rows, columns))).double()
    assert isinstance(made, PlaneLayer)
    made.nodes.gates.weight.normal_()
    made.nodes.norm.weight.normal_()
    x = torch.randn(1, rows * columns, WIDTH, dtype=torch.float64)
    whole = array(x[0]) @ array(made.nodes.project.weight).T
    logits = array(x[0]) @ array(made.nodes.gates.weight).T + array(made.nodes.gates.bias)
    answers = np.zeros((rows * columns, WIDTH))
    for head in range(HEADS):
        axes = [axis for bit, axis in ((1, 0), (2, 1)) if head & bit]
        here = slice(head * SIZE, (head + 1) * SIZE)

        def turned(part: Array, axes: list[int] = axes) -> Array:
            return np.flip(part.reshape(rows, columns, -1), axes).reshape(rows * columns, -1)

        q, k, v = (turned(part[:, here]) for part in np.split(whole, 3, axis=1))
        k = k / np.sqrt(SIZE)
        opened = turned(special.expit(logits[:, head::HEADS]))
        *gates, direct = opened.T
        source, transition, mark = graph(mode, np.stack(gates).reshape(-1, rows, columns))
        written = source[:, None] * np.tile((k[:, :, None] * v[:, None]).reshape(len(k), -1), (2, 1))
        memories = np.linalg.solve(np.eye(len(source)) - transition, written)
        y = np.einsum("ni,nij->nj", q, (mark @ memories).reshape(-1, SIZE, SIZE))
        y = y + direct[:, None] * (q * k).sum(1, keepdims=True) * v
        answers[:, here] = turned(normed(y, array(made.nodes.norm.weight)[head]))
    found = made(x, grid=(rows, columns))[0][0]
    assert largest(found, answers @ array(made.nodes.out.weight).T) < 1e-12


def test_a_line_is_the_solution_of_its_chain(largest: Callable[[Any, Any], float]) -> None:
    length = 13
    made = PLSTM(heads=HEADS, start_bias=0.0).mixer(Site(WIDTH)).double()
    assert isinstance(made, LineLayer)
    made.nodes.gates.weight.normal_()
    x = torch.randn(1, length, WIDTH, dtype=torch.float64)
    whole = array(x[0]) @ array(made.nodes.project.weight).T
    opened = special.expit(array(x[0]) @ array(made.nodes.gates.weight).T + array(made.nodes.gates.bias))
    answers = np.zeros((length, WIDTH))
    for head in range(HEADS):
        here = slice(head * SIZE, (head + 1) * SIZE)
        q, k, v = (part[:, here] for part in np.split(whole, 3, axis=1))
        k = k / np.sqrt(SIZE)
        source, keep, mark, _, direct = opened[:, head::HEADS].T
        chain = np.eye(length) - np.diag(keep[1:], -1)
        memories = np.linalg.solve(chain, (source[:, None, None] * k[:, :, None] * v[:, None]).reshape(length, -1))
        before = np.concatenate([np.zeros((1, SIZE, SIZE)), memories.reshape(length, SIZE, SIZE)[:-1]])
        y = mark[:, None] * np.einsum("ti,tij->tj", q, before) + direct[:, None] * (q * k).sum(1, keepdims=True) * v
        answers[:, here] = normed(y, array(made.nodes.norm.weight)[head])
    assert largest(made(x)[0][0], answers @ array(made.nodes.out.weight).T) < 1e-12
