"""Lets the gate's tests import the results of `planted_results.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
