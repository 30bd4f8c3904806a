"""How a prefix softmax becomes a linear scan: its answer is a running mean.

With L_t = log sum_{j<=t} e^{s_j} and p_t = e^{s_t - L_t}, the answer obeys y_t = (1 - p_t) y_{t-1} + p_t v_t. Every
gate lies in [0, 1], so nothing can overflow; L is summed in float64, one number a step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from harness.kernels._dispatch import accumulator
from harness.kernels.prefix_softmax.reference import State, empty_state

# B batch, H heads, T time, V width of a value; the scan sees B x H rows of V channels
Scan = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def running_mean(
    scan: Scan, score_BHT: torch.Tensor, v_BHTV: torch.Tensor, state: State | None
) -> tuple[torch.Tensor, State]:
    """The prefix softmax of `reference.py` by one call of `scan`."""
    carried = accumulator(v_BHTV.dtype)
    m_BH, u_BH, w_BHV = empty_state(v_BHTV) if state is None else (item.to(carried) for item in state)
    m_BH = m_BH.detach()
    if not score_BHT.shape[2]:
        return torch.empty_like(v_BHTV), (m_BH, u_BH, w_BHV)
    score = score_BHT.double()
    # the first step forgets an empty state whatever it holds: its p is one
    if state is None:
        total_BHT, mean_BHV = torch.logcumsumexp(score, 2), w_BHV
    else:
        first = m_BH.double() + torch.log(u_BH.double())
        total_BHT = torch.logcumsumexp(torch.cat((first[..., None], score), 2), 2)[..., 1:]
        # a state that saw nothing has u = 0 and no mean
        mean_BHV = w_BHV / torch.where(u_BH == 0.0, 1.0, u_BH)[..., None]
    p_BHT1 = torch.exp(score - total_BHT).to(carried)[..., None]
    x_BHTV = p_BHT1 * v_BHTV.to(carried)
    y_GTV, last_GV = scan(
        (1.0 - p_BHT1).expand(x_BHTV.shape).flatten(0, 1), x_BHTV.flatten(0, 1), mean_BHV.flatten(0, 1)
    )
    m_BH = torch.maximum(m_BH, score_BHT.detach().amax(2).to(carried))
    u_BH = torch.exp(total_BHT[..., -1] - m_BH).to(carried)
    w_BHV = last_GV.view(w_BHV.shape) * u_BH[..., None]
    return y_GTV.view(v_BHTV.shape).to(v_BHTV.dtype), (m_BH, u_BH, w_BHV)
