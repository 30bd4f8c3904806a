"""What are the HiPPO matrices? Optimal polynomial memories of the past (LegS) and of a sliding window (LegT).

Paper: Gu et al. 2020, HiPPO, arXiv:2008.07669; normal-plus-low-rank form: Gu et al. 2021, S4, arXiv:2111.00396.
"""

from __future__ import annotations

import torch
from torch import Tensor

# N state size


def legs(size: int) -> tuple[Tensor, Tensor]:
    """HiPPO-LegS (A, B) in float64: A_nk = -sqrt((2n+1)(2k+1)) below the diagonal, -(n+1) on it; B_n = sqrt(2n+1)."""
    root = torch.sqrt(2 * torch.arange(size, dtype=torch.float64) + 1)
    lower = torch.tril(torch.outer(root, root), -1)
    return -(lower + torch.diag(torch.arange(1, size + 1, dtype=torch.float64))), root


def legt(size: int) -> tuple[Tensor, Tensor]:
    """HiPPO-LegT (A, B) of a window of length 1, in float64, with orthonormal Legendre polynomials.

    A_nk = -sqrt((2n+1)(2k+1)) for k <= n and -(-1)^(n-k) sqrt((2n+1)(2k+1)) for k > n; B_n = sqrt(2n+1).
    """
    order = torch.arange(size, dtype=torch.float64)
    root = torch.sqrt(2 * order + 1)
    sign = torch.where((order[:, None] - order) % 2 == 0, 1.0, -1.0)
    upper = torch.triu(sign, 1) + torch.tril(torch.ones(size, size, dtype=torch.float64))
    return -torch.outer(root, root) * upper, root


def legs_low_rank(size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """LegS as V (diag(L) - P P*) V*: eigenvalues L [N], P [N] and B [N] in the basis V [N, N], complex128."""
    a, b = legs(size)
    p = torch.sqrt(torch.arange(size, dtype=torch.float64) + 0.5)
    normal = a + torch.outer(p, p)
    # normal = -1/2 I + a skew-symmetric matrix, whose eigenvalues are those of a Hermitian one times i
    skew = normal + 0.5 * torch.eye(size, dtype=torch.float64)
    turn, basis = torch.linalg.eigh(skew.to(torch.complex128) * -1j)
    eigenvalues = torch.complex(torch.full_like(turn, -0.5), turn)
    adjoint = basis.conj().T
    return eigenvalues, adjoint @ p.to(basis.dtype), adjoint @ b.to(basis.dtype), basis


def legs_spectrum(size: int) -> tuple[Tensor, Tensor]:
    """-Re and Im of the eigenvalues of LegS's normal part with positive imaginary part, ascending."""
    eigenvalues, _, _, _ = legs_low_rank(size)
    # they come in ascending pairs; a slice, unlike a mask, also works where only shapes are computed
    kept = eigenvalues[(size + 1) // 2 :]
    return -kept.real.float(), kept.imag.float()
