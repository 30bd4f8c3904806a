"""Does each cell keep its number where cells take turns?"""

from __future__ import annotations

import io
import re

from harness.planning import Cell
from harness.progress import Display
from harness.session import Progress


def test_a_cell_that_comes_back_keeps_its_number() -> None:
    stream = io.StringIO()
    cells = [Cell("t/x", "m/y", decoder) for decoder in ("decoders/a", "decoders/b")]
    with Display(2, stream) as display:
        for done in (1, 2):
            for cell in cells:
                display(Progress(cell, "run", done=done, total=2))
    assert re.findall(r"\[(\d)/2\]", stream.getvalue()) == ["1", "2", "1", "2"]
