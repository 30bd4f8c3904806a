"""A long convolution with its filter's generation against the straightforward form, which holds [H, N, L] at once."""

from __future__ import annotations

import torch

from harness.kernels._dispatch import operation
from harness.kernels.vandermonde.reference import inputs
from kernel_rows._row import Row, Work

long_conv, vandermonde = operation("long_conv"), operation("vandermonde")


def against_straightforward(length: int, backward: bool) -> tuple[Work, Work]:
    """B1 H64 N32: S4D's filter, then the convolution by Fourier transforms."""
    made = inputs({"H": 64, "N": 32}, seed=0, case="complex")
    weight, rate = (made[name].to(torch.complex64).requires_grad_() for name in ("weight_HN", "rate_HN"))
    x = torch.randn(1, 64, length, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def ours() -> torch.Tensor:
        answer: torch.Tensor = long_conv(x, vandermonde(weight, rate, length))[0]
        return answer

    def theirs() -> torch.Tensor:
        powers_HNL = torch.exp(rate.unsqueeze(2) * torch.arange(length))
        filter_HL = torch.einsum("hn,hnl->hl", weight, powers_HNL).real
        transformed = torch.fft.rfft(x, 2 * length) * torch.fft.rfft(filter_HL, 2 * length)
        return torch.fft.irfft(transformed, 2 * length)[..., :length]

    if backward:
        return tuple(lambda f=f: torch.autograd.grad(f().sum(), (x, weight, rate)) for f in (ours, theirs))
    return torch.no_grad()(ours), torch.no_grad()(theirs)


ROWS = (
    Row("fwd H64 N32 L16384 vs [H, N, L]", lambda: against_straightforward(16384, False), at_least=2.0, rounds=7),
    Row("fwd+bwd H64 N32 L16384 vs [H, N, L]", lambda: against_straightforward(16384, True), at_least=2.0, rounds=5),
)
