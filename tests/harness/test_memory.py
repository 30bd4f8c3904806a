"""A long run stays small: what is kept of an example is its statistics, never its text or its answers."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import dataclass

import pytest
from arena import Letters, Scorer, ScoreTask, pairing, session

from harness.api.types import Example, Score
from harness.runner import run_pairing


@dataclass(frozen=True)
class Long(ScoreTask):
    def examples(self, split, seed, sources):
        for index in range(self.size):
            yield Example(f"{index}", (Score("context " * 20, "ab"),))


@pytest.mark.slow
def test_two_hundred_thousand_examples_take_no_more_than_three_hundred_bytes_each(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    peaks = []
    for size in (20_000, 200_000):
        tracemalloc.start()
        task = Long(size=size, metrics=(Letters(),))
        wide = session(tmp_path / str(size), batch_tokens=100_000, batch_requests=128)
        assert run_pairing(pairing(task, Scorer()), wide).result.metrics["letters"].value == 2.0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 180_000 < 300
