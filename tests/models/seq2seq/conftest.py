"""Every network in turn; the digits beside this file can be imported by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))

from digit_letters import SPECS


@pytest.fixture(params=sorted(SPECS))
def name(request: Any) -> str:
    return str(request.param)
