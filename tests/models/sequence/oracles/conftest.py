"""How far are two answers apart? The largest difference over all numbers, which each oracle's test bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch


@pytest.fixture
def largest() -> Callable[[Any, Any], float]:
    """Shapes must agree, as a broadcast would hide a missing axis; `pytest -rP` shows each difference."""

    def measure(ours: Any, theirs: Any) -> float:
        left, right = (
            item.detach().numpy() if isinstance(item, torch.Tensor) else np.asarray(item) for item in (ours, theirs)
        )
        assert left.shape == right.shape
        difference = float(np.abs(left - right).max())
        print(f"largest difference {difference:.1e}")
        return difference

    return measure
