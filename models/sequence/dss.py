"""sequence/dss: diagonal state spaces, with the exponential or the softmax-normalised kernel."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor, nn

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.models._training import parameter_rule
from harness.models.sequence._diagonal import Diagonal
from harness.models.sequence._hippo import legs_spectrum
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, wide
from harness.models.sequence._ssm_block import DiagonalMixer
from harness.models.sequence.s4d import log_uniform

# H channels, N states, S step sizes of a channel


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Gupta et al. 2022, DSS, arXiv:2203.14343",
    differs="the softmax runs over that fixed length rather than each batch's; Re L < 0 is kept, where the "
    "paper's softmax also allows growing modes",
)
class DSS(SequenceModel):
    """K = Re(W diag((e^{L dt} - 1) / L) e^{L dt t}) (exp), or W times the row softmax over t of L dt t (softmax).

    L is one spectrum for all channels, W [H, N] is complex; L dt = dt_re Re L + i dt_im Im L, with two step sizes a
    channel unless `steps` is 1. The softmax kernel is normalised over the longest training length, which is fixed at
    the start, so that steps and chunks agree with the whole.
    Differs from the paper: the softmax runs over that fixed length rather than each batch's; Re L < 0 is kept, where
    the paper's softmax also allows growing modes.
    """

    states: int = 64  # N
    kernel: Literal["exp", "softmax"] = "exp"
    steps: int = 2  # step sizes a channel: one for Re L and one for Im L (the authors' default), or 1 for both

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        if self.steps not in (1, 2):
            raise UsageError(f"dss: steps={self.steps} must be 2 (Re and Im apart) or 1 (together).")
        return DSSLayer(site.width, (self.states, self.steps), self.kernel, max(1, site.length), self.learning_rate)


@final
class DSSLayer(DiagonalMixer):
    """N complex states a channel, one spectrum for all."""

    def __init__(self, width: int, sizes: tuple[int, int], kernel: str, length: int, rate: float) -> None:
        states, steps = sizes
        super().__init__(width, states, "linear")
        self.kernel, self.length = kernel, length
        slow = min(rate, 1e-3)
        decay, turn = legs_spectrum(2 * states)
        self.log_decay = parameter_rule(nn.Parameter(decay.log()), learning_rate=slow, decay=False)
        self.turn = parameter_rule(nn.Parameter(turn), learning_rate=slow, decay=False)
        self.log_dt = parameter_rule(log_uniform((width, steps), (1e-3, 1e-1)), learning_rate=slow, decay=False)
        self.w = parameter_rule(nn.Parameter(torch.randn(width, states, 2)), decay=False)
        self.d = nn.Parameter(torch.randn(width))

    def system(self, length: int) -> Diagonal:
        """Weights of the kernel's modes."""
        spectrum_N = torch.complex(-wide(self.log_decay).exp(), wide(self.turn))
        dt_HS = wide(self.log_dt).exp()
        log_a_HN = torch.complex(dt_HS[:, :1] * spectrum_N.real, dt_HS[:, -1:] * spectrum_N.imag)
        w_HN = torch.view_as_complex(wide(self.w))
        if self.kernel == "exp":
            return Diagonal(log_a_HN, w_HN * torch.expm1(log_a_HN) / spectrum_N, self.d)
        return Diagonal(log_a_HN, w_HN / geometric_sum(log_a_HN, self.length) / spectrum_N, self.d)


def geometric_sum(log_a: Tensor, length: int) -> Tensor:
    """The sum of a^t over t < length, held away from zero as the paper's epsilon does."""
    total = torch.expm1(length * log_a) / torch.expm1(log_a)
    return torch.where(total.abs() < 1e-7, torch.full_like(total, 1e-7), total)
