"""A long run stays small: what is kept of an example is its statistics, never its text or its answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHILD = f"""
import os, sys
from dataclasses import dataclass
from pathlib import Path
sys.path.append({str(Path(__file__).parent)!r})
from arena import Letters, ScoreTask, pairing, session
from harness.api.types import Example, Score
from harness.runner import run_pairing
from harness.timing import peak_resident_bytes

class Long(ScoreTask):
    def examples(self, split, seed, sources):
        for index in range(self.size):
            yield Example(str(index), (Score("context " * 20, "ab"),))

os.fsync = lambda descriptor: None
for size in (20_000, 200_000):
    wide = session(Path(sys.argv[1]) / str(size), batch_tokens=100_000)
    assert run_pairing(pairing(Long(size=size, metrics=(Letters(),))), wide).result.metrics["letters"].value == 2.0
    print(peak_resident_bytes())
"""


HEAVY = f"""
import sys
from pathlib import Path
sys.path.append({str(Path(__file__).parent)!r})
import numpy as np
from arena import ScoreTask, Scorer, pairing, session
from harness.runner import run_pairing
from harness.session import Shelf

class Large(Scorer):
    def load(self, setting):
        found = Large(weights=self.weights)
        object.__setattr__(found, "held", np.ones(1 << 24))  # 128 MiB
        return found

shelf = Shelf()
for number, model in enumerate((Large(weights="large"), Scorer(weights="small"))):
    run = run_pairing(pairing(ScoreTask(), model), session(Path(sys.argv[1]) / str(number)), shelf)
    print(run.result.timings["peak_resident_bytes"])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux starts a peak anew")
def test_the_memory_of_a_cell_does_not_include_the_model_of_the_one_before_it(tmp_path):
    done = subprocess.run([sys.executable, "-c", HEAVY, str(tmp_path)], capture_output=True, text=True, check=True)
    large, small = map(int, done.stdout.split())
    assert large - small > 100 << 20


@pytest.mark.slow
def test_two_hundred_thousand_examples_take_no_more_than_four_hundred_bytes_each(tmp_path):
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=True)
    small, large = map(int, done.stdout.split())
    assert (large - small) / 180_000 < 400
