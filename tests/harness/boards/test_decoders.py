"""Are speed-ups paired over the same examples, and only where runs took turns?"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.boards import decoders, site
from harness.boards.records import Record, Shelf
from harness.boards.tables import boards
from harness.plots import drafting
from harness.results import Measurement
from harness.timing import to_columns

sys.path.append(str(Path(__file__).parent))
from shelves import record as planted

GREEDY = "decoders/greedy"
CATEGORIES = ("qa", "qa", "rag", "rag")


def run(decoder: str, seconds: list[float], company: str = "c1", **changes: Any) -> Record:
    """Four examples with half a second of prefill each."""
    made = planted(np.ones((4, 1)), digest=f"{abs(hash(decoder)):016x}"[:16], decoder=decoder, model="lms/a")
    spent = [{"seconds": 0.5 + value, "prefill": 0.5} for value in seconds]
    timings = {**made.result.timings, "company": company, "by_example": to_columns(spent), "tokens": 40}
    nodes = Measurement(3.0, 2.0, 4.0, 4, False, "nodes/call", "verified_nodes|v1")
    samples = replace(made.result.samples, tags={"category": CATEGORIES})
    metrics = {**made.result.metrics, "verified_nodes": nodes}
    return replace(made, result=replace(made.result, timings=timings, samples=samples, metrics=metrics, **changes))


SLOW, FAST = run(GREEDY, [1.0, 2.0, 3.0, 4.0]), run("decoders/x", [0.5, 1.0, 1.5, 2.0])


def test_the_speed_up_is_a_ratio_of_totals_after_the_prefill() -> None:
    gain = decoders.speed_up(FAST, SLOW)
    # each example is twice as fast, so every resample is
    assert (gain.value, gain.low, gain.high) == pytest.approx((2.0, 2.0, 2.0))
    assert decoders.speed_up(FAST, SLOW, prefill=True).value == pytest.approx(12 / 7)


def test_the_interval_holds_the_value_and_is_wider_for_uneven_examples() -> None:
    gain = decoders.speed_up(run("decoders/y", [1.0, 1.0, 3.0, 1.0]), SLOW)
    assert gain.value == pytest.approx(10 / 6)
    assert gain.low < gain.value < gain.high


def test_a_category_counts_its_own_examples_alone() -> None:
    uneven = run("decoders/y", [1.0, 2.0, 1.0, 1.0])
    assert decoders.speed_up(uneven, SLOW, category="qa").value == pytest.approx(1.0)
    assert decoders.speed_up(uneven, SLOW, category="rag").value == pytest.approx(3.5)


@pytest.mark.parametrize("company", ["", "c2"])
def test_runs_that_took_no_turns_are_not_paired(company: str) -> None:
    assert not decoders.speed_up(run("decoders/x", [1.0] * 4, company), SLOW).known
    assert not decoders.speed_up(FAST, None).known


def test_runs_on_other_examples_are_not_paired() -> None:
    others = replace(FAST.result.samples, ids_digest="others")
    assert not decoders.speed_up(replace(FAST, result=replace(FAST.result, samples=others)), SLOW).known


def test_a_page_a_model_shows_every_decoder_and_a_plot() -> None:
    files = site.build(Shelf((SLOW, FAST)))
    page = files["decoders/lms-a.md"]
    assert "| x " in page
    assert "2.00 [2.00, 2.00]" in page
    assert "--decoder decoders/greedy,decoders/x" in page
    assert page.count("--interleave") == 1
    assert "<svg" in files["plots/decoders-lms-a.svg"]
    assert "speed-up over greedy" in files["plots/decoders-lms-a.svg"]


def test_a_model_with_one_decoder_has_no_page_and_unpaired_ones_no_plot() -> None:
    assert not any(name.startswith("decoders/") for name in site.build(Shelf((SLOW,))))
    loose = decoders.contests(boards([SLOW, run("decoders/x", [1.0] * 4, "c9")]))
    assert drafting.draw("lms/a", loose["lms/a"]) == ""


def test_a_task_that_does_not_measure_drafting_is_read_from_the_runs_own_counts() -> None:
    made = run("decoders/x", [1.0] * 4)
    spent = [{"seconds": 1.0, "prefill": 0.5, "steps": 10.0, "emitted": 15.0, "verified": 40.0}] * 4
    timings = {**made.result.timings, "by_example": to_columns(spent)}
    bare = {name: found for name, found in made.result.metrics.items() if name != "verified_nodes"}
    counted = replace(made, result=replace(made.result, timings=timings, metrics=bare))
    assert decoders.metric(counted, "verified_nodes") == 4.0
    assert decoders.metric(counted, "mean_accepted_tokens") == 1.5
    assert np.isnan(decoders.metric(counted, "mbsu"))
