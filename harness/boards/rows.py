"""What stands in one row of a leaderboard? Typed facts of a record, and the same as text; pure functions."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import stdev
from typing import Any

from harness import environment
from harness.api import registry
from harness.api.errors import HarnessError
from harness.boards.ranking import Standing
from harness.boards.records import Record, device_class
from harness.boards.seeds import values
from harness.boards.variants import beside_full_weights
from harness.methods import mark
from harness.results import RunResult

# the greedy decoder that another decoder's answers are compared with
GREEDY = "decoders/greedy"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; a number that is not known is None."""

    rank: int
    letters: str
    model: str
    decoder: str
    metric: str
    unit: str
    higher_is_better: bool
    value: float | None
    low: float | None
    high: float | None
    method: str  # that gave the interval
    n: int
    failed: int
    tokens_per_second: float | None
    examples_per_second: float | None
    p50_seconds: float | None
    p99_seconds: float | None
    memory_bytes: float | None
    parameters: float | None
    state_bytes: float | None
    joules: float | None
    device: str
    busy: bool  # other work ran beside: its speeds are a lower bound
    changed: bool  # its sources held changes beside their commit
    budget: str
    exact: str  # verdict on a decoder: its answers beside greedy's, or what it promises
    date: str
    digest: str
    origin: str
    superseded_by: str
    seeds: int = 1  # runs that the row is a mean over
    spread: float | None = None  # standard deviation of their values
    full: str = ""  # a weights variant beside full weights

    @property
    def name(self) -> str:
        """Model and decoder."""
        return " + ".join(part for part in (self.model, self.decoder) if part)


def row_of(standing: Standing, peers: Sequence[Record]) -> Row:
    """The facts of one record; `peers` are the records of its table, among which its greedy twin is looked for."""
    record = standing.record
    result = record.result
    found, timings = result.metrics[result.headline], result.timings
    # in company a request waits for its batch, which says nothing of what one user would see
    latency = (timings.get("latency_seconds") or {}) if timings.get("requests_a_batch", 1) == 1 else {}
    return Row(
        rank=standing.rank,
        letters=standing.letters,
        model=result.model,
        decoder=result.decoder or "",
        metric=result.headline,
        unit=found.unit,
        higher_is_better=found.higher_is_better,
        value=_number(found.value),
        low=_number(found.low),
        high=_number(found.high),
        method=found.method,
        n=found.n,
        failed=result.failed,
        tokens_per_second=_number(timings.get("tokens_per_second")),
        examples_per_second=_number(timings.get("examples_per_second")),
        p50_seconds=_number(latency.get("p50")),
        p99_seconds=_number(latency.get("p99")),
        memory_bytes=_number(timings.get("peak_device_bytes") or timings.get("peak_resident_bytes")),
        parameters=_number(result.identity.get("parameters")),
        state_bytes=_number(result.identity.get("state_bytes")),
        joules=_number(timings.get("energy_joules")),
        device=device_class(result),
        busy=environment.busy(result.environment),
        changed=environment.changed(result.environment),
        budget=_budget(result.signature.get("budget")),
        exact=_verdict(record, peers),
        date=str(result.environment.get("date", ""))[:10],
        digest=result.digest,
        origin=record.origin,
        superseded_by=record.superseded_by,
        seeds=max(1, len(record.parts)),
        spread=_number(stdev(values(record))) if record.parts else None,
        full=beside_full_weights(record, peers),
    )


def command(result: RunResult) -> str:
    """The command line that makes such a run again."""
    signature = result.signature
    words = ["harness", "run", "--task", result.task, "--model", result.model]
    options: list[tuple[str, Any, Any]] = [
        ("--decoder", result.decoder, None),
        ("--limit", signature.get("limit"), None),
        ("--split", signature.get("split"), "test"),
        ("--seed", signature.get("seed"), 0),
        ("--dtype", signature.get("dtype", "auto"), "auto"),
    ]
    for option, value, default in options:
        words += [] if value == default else [option, str(value)]
    budget = ",".join(f"{name}={spent:g}" for name, spent in _spent(signature.get("budget")).items())
    return shlex.join(words + (["--budget", budget] if budget else []))


def shown(row: Row) -> dict[str, str]:
    """Every column as text, empty where nothing is known."""
    mark = "†" if row.busy else ""
    joined = {
        "rank": str(row.rank or ""),
        "model": row.name + (f" (imported from {row.origin})" if row.origin != "harness" else ""),
        "metric": f"{row.metric} {'↑' if row.higher_is_better else '↓'}",
        "value": "none" if row.value is None else f"{row.value:.4g}{row.unit if row.unit == '%' else ''}",
        "95% interval": interval_of(row),
        "same as": row.letters,
        "n": str(row.n),
        "seeds": seeds_of(row),
        "failed": str(row.failed) if row.failed else "",
        "parameters": short_count(row.parameters),
        "state": size(row.state_bytes),
        "joules": three(row.joules),
        "device": row.device,
        "budget": row.budget,
        "as greedy": row.exact,
        "beside full weights": row.full,
        "date": row.date,
        "signature": row.digest,
    }
    speeds = {
        "tokens/s": three(row.tokens_per_second),
        "examples/s": three(row.examples_per_second),
        "p50 s": three(row.p50_seconds),
        "p99 s": three(row.p99_seconds),
    }
    return (
        joined
        | {name: text + mark if text else "" for name, text in speeds.items()}
        | {"memory": size(row.memory_bytes)}
    )


def seeds_of(row: Row) -> str:
    """How many seeds a row is a mean over, with the standard deviation of their values; empty for one run."""
    if row.seeds == 1:
        return ""
    return f"{row.seeds} (sd {row.spread:.2g})" if row.spread is not None else str(row.seeds)


def interval_of(row: Row) -> str:
    """The interval and its method's letter, as `[0.4, 0.6] W`; empty where there is none."""
    if row.low is None or row.high is None:
        return ""
    return f"[{row.low:.4g}, {row.high:.4g}] {mark(row.method)}".rstrip()


def three(number: float | None) -> str:
    """Three digits, without an exponent where a reader needs none."""
    if number is None:
        return ""
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e7 else f"{number:.3g}"


def size(number: float | None) -> str:
    """Bytes in the unit that fits."""
    if number is None:
        return ""
    for scale, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= scale:
            return f"{number / scale:.3g} {unit}" if number / scale < 1000 else f"{number / scale:.0f} {unit}"
    return f"{number:.0f} B"


def short_count(number: float | None) -> str:
    """134515008 as 135 M."""
    if number is None:
        return ""
    for scale, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= scale:
            return f"{number / scale:.3g} {letter}"
    return f"{number:g}"


def _verdict(record: Record, peers: Sequence[Record]) -> str:
    """How many answers equal greedy's; without a greedy run beside it, what the decoder's card promises."""
    decoder = record.result.decoder
    if not decoder or decoder == GREEDY:
        return ""
    twin = next((peer for peer in peers if _is_greedy_twin(peer, record)), None)
    if twin is not None and record.outputs and len(twin.outputs) == len(record.outputs):
        equal = sum(ours == theirs for ours, theirs in zip(record.outputs, twin.outputs, strict=True))
        return f"{equal}/{len(record.outputs)}"
    promise = _promise(decoder)
    return {"greedy": "promised", "law": "in law (promised)", "no": "no"}.get(promise, "")


def _is_greedy_twin(peer: Record, record: Record) -> bool:
    return (
        peer.result.decoder == GREEDY
        and peer.result.model == record.result.model
        and peer.result.signature.get("dtype") == record.result.signature.get("dtype")
    )


def _promise(decoder: str) -> str:
    try:
        return str(registry.card("decoder", registry.parse(decoder)[0]).facts.get("lossless", ""))
    except HarnessError:
        # a plug-in's decoder that is not installed here
        return ""


def _spent(budget: Any) -> dict[str, float]:
    if not isinstance(budget, Mapping):
        return {}
    return {str(name): float(spent) for name, spent in budget.items() if isinstance(spent, (int, float)) and spent}


def _budget(budget: Any) -> str:
    return " ".join(f"{name}={spent:g}" for name, spent in _spent(budget).items())


def _number(value: Any) -> float | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
    return float(value) if known else None
