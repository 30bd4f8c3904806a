"""Lets the runner's tests import the tiny task and models of `arena.py`, and spares them the wait for the disk."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: what these tests read was written by a process that is still alive."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
