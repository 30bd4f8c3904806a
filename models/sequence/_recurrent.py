"""How does a head-wise recurrent cell become a mixer? Projection, block-diagonal recurrence and bias on `fused_rnn`."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor, nn

from harness.api.errors import UsageError
from harness.kernels._dispatch import operation
from harness.models.sequence._mixer import Mixer, State, state_dtype

# B batch, T time, D width of a head, H heads, G gates, S states

Cell = Literal["elman", "lstm", "gru", "slstm"]

fused_rnn = operation("fused_rnn")
# cell -> (gates of the input, of the recurrence, of the bias, states)
SIZES: dict[Cell, tuple[int, int, int, int]] = {
    "elman": (1, 1, 1, 1),
    "lstm": (4, 4, 4, 2),
    "gru": (3, 3, 4, 1),
    "slstm": (4, 4, 4, 4),
}


@final
class HeadwiseRNN(Mixer):
    """H independent recurrent heads of width D = width / H over a full input projection; outputs are their h.

    Initialised uniformly within 1 / sqrt(D), as torch's own layers; the forget gate's bias starts at `forget`.
    """

    def __init__(self, width: int, cell: Cell, heads: int = 1, forget: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise UsageError(f"{cell}: width {width} does not split into {heads} heads.")
        size = width // heads
        inputs, recurrent, biases, self.states = SIZES[cell]
        self.cell, self.heads, self.size = cell, heads, size
        bound = size**-0.5
        self.project = nn.Parameter(torch.empty(inputs, heads, size, width).uniform_(-bound, bound))
        self.recurrent = nn.Parameter(torch.empty(recurrent, heads, size, size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(biases, heads, size).uniform_(-bound, bound))
        if cell in ("lstm", "slstm"):
            with torch.no_grad():
                self.bias[1] += forget

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros; the stabiliser of an sLSTM starts at -inf."""
        state = torch.zeros(self.states, batch, self.heads, self.size, device=device, dtype=state_dtype(dtype))
        if self.cell == "slstm":
            state[3] = -torch.inf
        return {"states": state}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Run the cell over the new tokens."""
        start = state["states"] if state else None
        h_BTHD, last = fused_rnn(x_BTD, self.recurrent, self.bias, start, self.project, cell=self.cell)
        return h_BTHD.flatten(2), {"states": last}
