"""Phases are exclusive, latencies end with a request's last token, and sums survive a resume."""

from __future__ import annotations

import pytest

from harness import timing
from harness.timing import EnergyProbe, RunMeter, Tally, Times, percentiles, report


@pytest.fixture
def ticking(monkeypatch):
    """A clock that moves only when a test says so."""
    now = [0.0]
    monkeypatch.setattr(timing, "clock", lambda: now[0])

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    return pass_time


def test_a_call_that_reports_nothing_took_as_long_for_every_request(ticking):
    meter = RunMeter(2)
    ticking(3.0)
    meter.close()
    assert [request.latency for request in meter.requests] == [3.0, 3.0]
    assert [request.first_token for request in meter.requests] == [None, None]
    assert meter.tally.seconds == 3.0


def test_first_token_and_latency_are_told_apart_for_each_request(ticking):
    meter = RunMeter(2)
    ticking(1.0)
    meter.emitted(0, 1)
    ticking(1.0)
    meter.emitted(0, 2)
    meter.emitted(1, 1)
    ticking(5.0)
    meter.close()
    first, second = meter.requests
    assert (first.first_token, first.latency, first.tokens) == (1.0, 2.0, 3)
    assert (second.first_token, second.latency, second.tokens) == (2.0, 2.0, 1)


def test_an_inner_phase_is_not_counted_in_the_outer_one(ticking):
    meter = RunMeter()
    with meter.span("decode", tokens=4):
        ticking(1.0)
        with meter.span("prefill", tokens=10):
            ticking(2.0)
            with meter.span("score"):
                ticking(4.0)
        ticking(8.0)
    with meter.span("decode"):
        ticking(16.0)
    assert meter.tally.spans == {"score": 4.0, "prefill": 2.0, "decode": 25.0}
    assert meter.tally.tokens == {"decode": 4, "prefill": 10}


def test_a_phase_that_ends_in_an_error_is_still_counted(ticking):
    meter = RunMeter()
    with pytest.raises(ValueError), meter.span("decode"):
        ticking(2.0)
        raise ValueError
    assert meter.tally.spans == {"decode": 2.0}


def test_a_span_waits_for_the_device_at_both_ends(ticking):
    waits = []
    meter = RunMeter(0, synchronise=lambda: waits.append(1))
    with meter.span("prefill"):
        pass
    meter.close()
    assert len(waits) == 4


def test_elapsed_begins_with_the_call(ticking):
    ticking(7.0)
    meter = RunMeter()
    ticking(2.0)
    assert meter.elapsed() == 2.0


def test_stored_tallies_add_up():
    total = Tally()
    for _ in range(2):
        total.add(Tally({"decode": 1.5}, {"decode": 3}, {"model_calls": 2}, calls=1, seconds=2.0).stored())
    assert total.stored() == Tally({"decode": 3.0}, {"decode": 6}, {"model_calls": 4}, 2, 4.0).stored()


def test_percentiles_of_nothing_and_of_one():
    assert percentiles([]) is None
    assert percentiles([2.0]) == {"p50": 2.0, "p90": 2.0, "p99": 2.0}


def test_percentiles_interpolate():
    assert percentiles([0.0, 1.0]) == pytest.approx({"p50": 0.5, "p90": 0.9, "p99": 0.99})


def test_rates_are_over_model_time_and_overhead_is_what_remains():
    times = Times(tokens=100, setup={"wall": 20.0, "load": 4.0, "warm_up": 1.0})
    times.tally.seconds = 10.0
    times.latencies.extend([1.0] * 5)
    found = report(times)
    assert found["tokens_per_second"] == 10.0
    assert found["examples_per_second"] == 0.5
    assert found["overhead_seconds"] == 5.0
    assert found["first_token_seconds"] is None


def test_a_run_without_model_calls_has_no_rate():
    assert report(Times())["examples_per_second"] is None


def test_energy_is_a_difference_and_none_where_it_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "RAPL", tmp_path / "energy_uj")
    assert EnergyProbe().joules() is None
    timing.RAPL.write_text("1000000\n")
    probe = EnergyProbe()
    timing.RAPL.write_text("3500000\n")
    assert (probe.joules(), probe.source) == (2.5, "rapl")
    timing.RAPL.write_text("5\n")
    assert probe.joules() is None


def test_memory_and_calibration_are_positive():
    assert timing.peak_resident_bytes() > 1_000_000
    assert timing.calibration(size=8, repeats=1)["gflops"] > 0
