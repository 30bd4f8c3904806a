"""What is a memory that learns while it reads? A small network whose weights take gradient steps on each token.

M_t = (1 - alpha_t) M_{t-1} + S_t,  S_t = eta_t S_{t-1} - theta_t grad |M(k_t) - v_t|^2,  read y_t = M_t(q_t).
Within a chunk every gradient is taken at the weights that the chunk began with, so that S and M are two linear scans.
Steps of one chunk that agree add up and may overshoot, so the gradient of each layer and token is shortened to the norm
that an error of root mean square `limit` has on a unit key: weights grow by so much a token and no faster.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.kernels._dispatch import operation
from harness.models.sequence._mixer import State, state_dtype

# B batch, H heads, T time, E head size, I and O widths of a layer

linear_scan = operation("linear_scan")


@final
class NeuralMemory(nn.Module):
    """Per head, `depth` linear maps with SiLU between; chunks are counted from the start of the sequence."""

    def __init__(self, heads: int, size: int, depth: int, expand: int, chunk: int, limit: float = float("inf")) -> None:
        super().__init__()
        self.chunk, self.limit = chunk, limit
        widths = [size, *[expand * size] * (depth - 1), size]
        self.first = nn.ParameterList(
            torch.randn(heads, enter, leave) * enter**-0.5 for enter, leave in pairwise(widths)
        )

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """The learned first weights, without momentum."""
        state: State = {"steps": torch.zeros(1, dtype=torch.int64, device=device)}
        for layer, weight in enumerate(self.first):
            grown = weight.to(device, state_dtype(dtype)).expand(batch, -1, -1, -1)
            state[f"began{layer}"], state[f"memory{layer}"] = grown, grown
            state[f"momentum{layer}"] = torch.zeros_like(grown)
        return state

    def read(self, q_BHTE: Tensor, state: State, which: str = "began") -> Tensor:
        """Answers of the weights that the chunk began with, or of the latest."""
        hidden = q_BHTE.to(state["memory0"].dtype)
        for layer in range(len(self.first)):
            hidden = (functional.silu(hidden) if layer else hidden) @ state[f"{which}{layer}"]
        return hidden.to(q_BHTE.dtype)

    def forward(
        self, q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor, rates: tuple[Tensor, Tensor, Tensor], state: State
    ) -> tuple[Tensor, State]:
        """Write and read T tokens; rates are (theta, eta, alpha) [B, H, T]."""
        kind, answers, begin = state["memory0"].dtype, [], 0
        steps = int(state["steps"])
        while begin < q_BHTE.shape[2]:
            end = min(q_BHTE.shape[2], begin + self.chunk - steps % self.chunk)
            q, k, v = (part[:, :, begin:end].to(kind) for part in (q_BHTE, k_BHTE, v_BHTE))
            y, state = self._piece(q, k, v, [rate[:, :, begin:end].to(kind) for rate in rates], state)
            steps, begin = steps + end - begin, end
            if steps % self.chunk == 0:
                state.update({f"began{layer}": state[f"memory{layer}"] for layer in range(len(self.first))})
            answers.append(y.to(q_BHTE.dtype))
        counted = {**state, "steps": torch.full_like(state["steps"], steps)}
        return torch.cat(answers, 2) if answers else v_BHTE, counted

    def _piece(self, q: Tensor, k: Tensor, v: Tensor, rates: list[Tensor], state: State) -> tuple[Tensor, State]:
        theta, eta, alpha = rates
        after, hidden = dict(state), q[:, :, :, None]
        for layer, (entered, error) in enumerate(self._gradients(k, v, state)):
            shape: Any = state[f"memory{layer}"].shape
            surprise = -(theta[..., None, None] * entered[..., :, None] * error[..., None, :])
            drive = surprise.flatten(0, 1).flatten(2)
            momentum, last = _scan(eta, drive, state[f"momentum{layer}"])
            memory, final_weight = _scan(1 - alpha, momentum, state[f"memory{layer}"])
            after[f"momentum{layer}"], after[f"memory{layer}"] = last.view(shape), final_weight.view(shape)
            weights = memory.view(*surprise.shape)
            hidden = (functional.silu(hidden) if layer else hidden) @ weights
        return hidden[:, :, :, 0], after

    def _gradients(self, k: Tensor, v: Tensor, state: State) -> list[tuple[Tensor, Tensor]]:
        """Of each layer (input, error), whose outer product is the gradient of |M(k) - v|^2 at the chunk's start."""
        weights = [state[f"began{layer}"] for layer in range(len(self.first))]
        before, entered = [k], [k]
        for layer, weight in enumerate(weights):
            before.append(entered[-1] @ weight)
            entered.append(functional.silu(before[-1]) if layer + 1 < len(weights) else before[-1])
        error, found = 2 * (entered[-1] - v), []
        for layer in reversed(range(len(weights))):
            found.append((entered[layer], self._limited(entered[layer], error)))
            if layer:
                gate = torch.sigmoid(before[layer])
                error = (error @ weights[layer].mT) * gate * (1 + before[layer] * (1 - gate))
        return found[::-1]

    def _limited(self, entered: Tensor, error: Tensor) -> Tensor:
        """The error, shortened where its product with the input is too long."""
        if self.limit == float("inf"):
            return error
        longest = 2 * self.limit * self.first[0].shape[1] ** 0.5
        square = entered.square().sum(-1, keepdim=True) * error.square().sum(-1, keepdim=True)
        return error * (longest / square.clamp(min=longest**2).sqrt())


def _scan(gate_BHT: Tensor, drive: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    gate = gate_BHT.flatten(0, 1)[..., None].expand_as(drive)
    held, last = linear_scan(gate, drive, start.flatten(0, 1).flatten(1))
    return held, last
