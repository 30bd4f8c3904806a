"""sequence/plstm: parallelizable linear source-transition-mark networks, over time or over an image."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.models.sequence._head_norm import HeadNorm
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import empty_memory, split_heads
from harness.models.sequence._mixer import Mixer, Site, State, state_dtype
from harness.models.sequence._plane import Gates, Mode, diffused, propagated, sweep

# B batch, T time, D width, H heads, R rows, C columns, E head size

gated_linear = operation("gated_linear")


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Poeppel et al. 2025, pLSTM, arXiv:2506.11997",
    differs="transitions are in 0..1 (J = 1), not tanh blocks; the equations rather than the published code, "
    "which in P mode has another turn (1 - alpha gamma) and never flips the second axis; anti-diagonals in place of "
    "hierarchical blocks; orientations are shared among heads; no convolution and no way past the layer",
)
class PLSTM(SequenceModel):
    """C_e = S_e k v^T + sum of T C over incoming edges; a node reads sum of M_e (q C_e) of incoming edges + D (q k) v.

    Over time that is gated linear attention read one step late. Over images memories move right and down, in
    P mode (joined and shared out, mass kept) or D mode (one path to each node; the edges to the right and down have
    sources, transitions and marks of their own); heads take the four orientations in turn, each a flip of the image.
    Differs from the paper: transitions are in 0..1 (J = 1), not tanh blocks; the equations rather than the published
    code, which in P mode has another turn (1 - alpha gamma) and never flips the second axis; anti-diagonals in place of
    hierarchical blocks; orientations are shared among heads; no convolution and no way past the layer.
    """

    heads: int = 4
    mode: Mode = "P"
    start_bias: float = -5.0  # of source and mark

    def mixer(self, site: Site) -> Mixer:
        """A planar layer where the training data are images, else a layer over time."""
        if site.width % self.heads:
            raise UsageError(f"plstm: width {site.width} does not split into {self.heads} heads.")
        if len(site.grid) == 2 and not site.causal:
            directions = 2 if self.mode == "D" else 1
            return PlaneLayer(NodeGates(site.width, self.heads, self.start_bias, directions), site.width, self.mode)
        return LineLayer(NodeGates(site.width, self.heads, self.start_bias), site.width)


@final
class NodeGates(nn.Module):
    """Queries, keys and values of a node, and its gates a head: source, keep and mark a direction, turn and direct."""

    def __init__(self, width: int, heads: int, bias: float, directions: int = 1) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width, bias=False)
        # turn to both sides alike, keep most, write and read little at first
        start = [bias, 3.0, bias] * directions + [0.0, 0.0]
        self.gates = nn.Linear(width, len(start) * heads)
        self.norm = HeadNorm(heads, width // heads, centred=False)
        self.out = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            self.gates.weight.zero_()
            self.gates.bias.copy_(torch.tensor(start).repeat_interleave(heads))

    def forward(self, x_BTD: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(q, k, v) [B, H, T, E] and logits of the gates [B, H, T]."""
        q, k, v = (split_heads(part, self.heads) for part in self.project(x_BTD).chunk(3, -1))
        return [q, k * k.shape[-1] ** -0.5, v], list(self.gates(x_BTD).transpose(1, 2).split(self.heads, 1))

    def leave(self, y: Tensor, nodes: list[Tensor], direct: Tensor) -> Tensor:
        """Add the direct term, normalise each head, project."""
        q, k, v = nodes
        y = y + torch.sigmoid(direct)[..., None] * (q * k).sum(-1, keepdim=True) * v
        joined: Tensor = self.out(self.norm(y.transpose(1, 2)).flatten(2))
        return joined


@final
class LineLayer(Mixer):
    """One edge from each token to the next; a write is read from the next token on."""

    def __init__(self, gates: NodeGates, width: int) -> None:
        super().__init__()
        self.nodes, self.width = gates, width

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing written; the last token's write, which the next one is the first to read."""
        heads = self.nodes.heads
        size, kind = self.width // heads, state_dtype(dtype)
        pending = torch.zeros(batch, heads, 2 * size + 1, device=device, dtype=kind)
        return {**empty_memory(batch, (heads, size, size), device, dtype, "none"), "pending": pending}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Delay the writes by a token, then read."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        nodes, (source, keep, mark, _, direct) = self.nodes(x_BTD)
        q, k, v = nodes
        written = torch.cat([k * torch.sigmoid(source)[..., None], v, functional.logsigmoid(keep)[..., None]], -1)
        late = torch.cat([state["pending"][:, :, None].to(written.dtype), written], 2)
        size = q.shape[-1]
        late_k, late_v, late_keep = late[:, :, :-1].split([size, size, 1], -1)
        y, last = gated_linear(q, late_k, late_v, late_keep[..., 0], None, (state["memory"], None, None), "none")
        y = torch.sigmoid(mark)[..., None] * y
        after = {"memory": last[0], "pending": late[:, :, -1].to(state["pending"].dtype)}
        return self.nodes.leave(y, nodes, direct), after


@final
class PlaneLayer(Mixer):
    """Memories over an image in four orientations, one head after the other."""

    causal = False
    streaming = "none"

    def __init__(self, gates: NodeGates, width: int, mode: Mode) -> None:
        super().__init__()
        self.nodes, self.width, self.mode = gates, width, mode

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Images have no order in time."""
        return {}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Flip, sweep, flip back; without a grid the image has one row."""
        shape = grid if len(grid) == 2 else (1, x_BTD.shape[1])
        nodes, logits = self.nodes(x_BTD)
        planes = [part.unflatten(2, shape) for part in nodes]
        opened = [torch.sigmoid(part).unflatten(2, shape) for part in logits[:-1]]
        groups = [
            (slice(orientation, None, 4), [axis for bit, axis in ((1, 2), (2, 3)) if orientation & bit])
            for orientation in range(min(4, self.nodes.heads))
        ]

        def turned(part: Tensor) -> Tensor:
            # heads of one orientation stand together, and all are swept as one
            return torch.cat([part[:, chosen].flip(axes) for chosen, axes in groups], 1)

        q, k, v = (turned(part) for part in planes)
        swept, _, _ = sweep(q, k, v, self._directed([turned(gate) for gate in opened]))
        joined = torch.empty_like(swept)
        sizes = [len(range(self.nodes.heads)[chosen]) for chosen, _ in groups]
        for (chosen, axes), y in zip(groups, swept.split(sizes, 1), strict=True):
            joined[:, chosen] = y.flip(axes)
        return self.nodes.leave(joined.flatten(2, 3), nodes, logits[-1]), {}

    def _directed(self, opened: list[Tensor]) -> Gates:
        if self.mode == "P":
            source, keep, mark, turn = opened
            return propagated(source, turn, keep, mark)
        source, keep, mark, source_down, keep_down, mark_down, turn = opened
        return diffused((source, source_down), turn, (keep, keep_down), (mark, mark_down))
