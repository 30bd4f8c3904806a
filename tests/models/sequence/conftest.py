"""Invariants of methods are about values; the contract's suite looks at gradients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    """Values only."""
    torch.manual_seed(0)
    with torch.no_grad():
        yield
