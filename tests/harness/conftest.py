"""Lets the runner's tests import the tiny task and models of `arena.py`, here and in processes that they start."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
