"""sequence/s4: the structured state space, by its normal-plus-low-rank form or by the dense matrix it stands for."""

from __future__ import annotations

import math
from functools import cache
from typing import Literal, final

import torch
from torch import Tensor, nn

from harness.api.registry import model
from harness.models._training import parameter_rule
from harness.models.sequence._dense import Dense, DenseMixer, generalised_bilinear
from harness.models.sequence._hippo import legs_low_rank
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, wide
from harness.models.sequence.s4d import log_uniform

# H channels, N state size, F frequencies

Form = Literal["nplr", "dense"]


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Gu et al. 2021, S4, arXiv:2111.00396",
    differs="C is learned rather than C (I - A^n), so that the layer does not depend on the length",
)
class S4(SequenceModel):
    """A = diag(L) - P P*, bilinear; the kernel is the inverse FFT of its generating function at roots of unity.

    K^(z) = 2 / (1 + z) [c R b - c R p (1 + p* R p)^-1 p* R b], R = 1 / (2/dt (1 - z) / (1 + z) - L), c = C (I - A^n).
    `dense` takes the powers of the same matrix instead, as an oracle; both give the same numbers. L, P and B start as
    HiPPO-LegS and learn, with the step sizes, at a rate of at most 1e-3; then GELU and a GLU.
    Differs from the paper: C is learned rather than C (I - A^n), so that the layer does not depend on the length.
    """

    states: int = 64  # N, real
    form: Form = "nplr"
    dt_low: float = 1e-3
    dt_high: float = 1e-1

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        return S4Layer(site.width, self.states, self.form, (self.dt_low, self.dt_high), min(self.learning_rate, 1e-3))


@final
class S4Layer(DenseMixer):
    """Half of the conjugate pairs as parameters, shared by the channels but for C and the step size."""

    def __init__(self, width: int, size: int, form: Form, dt: tuple[float, float], rate: float) -> None:
        super().__init__(width, size, gated=True)
        self.form = form
        eigenvalues, p, b, _ = legs_low_rank(size)
        half = slice((size + 1) // 2, None)  # they ascend: the positive of each pair

        def learned(values: Tensor) -> nn.Parameter:
            return parameter_rule(nn.Parameter(values.float()), learning_rate=rate, decay=False)

        self.log_decay = learned((-eigenvalues.real[half]).log())
        self.turn = learned(eigenvalues.imag[half])
        self.p = learned(torch.view_as_real(p[half]))
        self.b = learned(torch.view_as_real(b[half]))
        self.log_dt = parameter_rule(log_uniform(width, dt), learning_rate=rate, decay=False)
        self.c = parameter_rule(nn.Parameter(torch.randn(width, size // 2, 2) * 0.5**0.5), decay=False)
        self.d = nn.Parameter(torch.randn(width))

    def system(self) -> Dense:
        """The dense, real layer that the parameters stand for."""
        eigenvalues, p, b, c = self._halves()
        basis = _basis(self.size).to(b)
        normal = 2 * (basis * eigenvalues @ basis.mH).real
        p_N, b_N = 2 * (basis @ p).real, 2 * (basis @ b).real
        a, b_bar = generalised_bilinear(normal - torch.outer(p_N, p_N), b_N, wide(self.log_dt).exp(), 0.5)
        return Dense(a, b_bar, 2 * (c @ basis.mH).real, self.d)

    def filter(self, system: Dense, length: int) -> Tensor:
        """The kernel [H, length], by Cauchy sums over N or by powers of the matrix."""
        if self.form == "dense":
            return super().filter(system, length)
        # an odd number of roots leaves out z = -1, where the bilinear map has its pole
        order = length + 1 - length % 2
        eigenvalues, p, b, _ = (torch.cat([part, part.conj()], -1).to(torch.complex128) for part in self._halves())
        basis = _basis(self.size).to(p)
        truncated = system.c_HN.double() - _times_power(system.c_HN.double(), system.a_HNN.double(), order)
        c_HN = truncated.to(torch.complex128) @ torch.cat([basis, basis.conj()], 1)
        z_F = torch.exp(-2j * math.pi * torch.arange(order // 2 + 1, device=basis.device).double() / order)
        node_HF = 2 / self.log_dt.double().exp()[:, None] * (1 - z_F) / (1 + z_F)
        resolvent_HFN = 1 / (node_HF[..., None] - eigenvalues)
        cb, cp = (torch.einsum("hn,hfn,n->hf", c_HN, resolvent_HFN, right) for right in (b, p))
        pb, pp = (torch.einsum("n,hfn,n->hf", p.conj(), resolvent_HFN, right) for right in (b, p))
        spectrum_HF = 2 / (1 + z_F) * (cb - cp * pb / (1 + pp))
        return torch.fft.irfft(spectrum_HF, order)[:, :length].to(system.c_HN.dtype)

    def _halves(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        eigenvalues = torch.complex(-wide(self.log_decay).exp(), wide(self.turn))
        p, b, c = (torch.view_as_complex(wide(part).contiguous()) for part in (self.p, self.b, self.c))
        return eigenvalues, p, b, c


@cache
def _basis(size: int) -> Tensor:
    """From the half of the eigenvectors to the real state, in complex128; unitary together with its conjugate."""
    _, _, _, basis = legs_low_rank(size)
    return basis[:, (size + 1) // 2 :]


def _times_power(c_HN: Tensor, a_HNN: Tensor, power: int) -> Tensor:
    return (c_HN[:, None] @ torch.linalg.matrix_power(a_HNN, power))[:, 0]
