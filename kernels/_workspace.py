"""Where does a CPU path get large memory cheaply? From numpy, which asks the system for huge pages.

The first touch of fresh small pages costs more than most passes over them; huge pages are touched far less often.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

NUMPY = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.complex64: np.complex64,
    torch.complex128: np.complex128,
}


def workspace(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """An uninitialised CPU tensor, real or complex but no half type; NaN where torch is told to fill such memory."""
    fresh = torch.from_numpy(np.empty(tuple(shape), NUMPY[dtype]))
    poisoned = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if poisoned and torch.are_deterministic_algorithms_enabled():
        fresh.fill_(torch.nan)
    return fresh
