"""Who is best, and who cannot be told apart? Ranks and letters of records that share a protocol; pure functions.

Rows are ranked by the headline metric. Two rows share a letter when a paired test over the same examples does not
separate them, and a row's rank is one more than the number of rows that are surely better.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import UsageError
from harness.api.metrics import Array, MeanMetric, Metric
from harness.boards.intervals import reducer
from harness.boards.records import Record
from harness.boards.seeds import values
from harness.multiple import holm, letters
from harness.pairwise import spreads, student_p
from harness.stats import clean, units_of

# K rows, N examples, S statistics of one example, P pairs of rows
LEVEL = 0.05
DRAWS = 1000
COMPARED = 100  # rows of one table that are compared pairwise, best first; the rest have their order alone
# records are comparable only where all of these agree
PROTOCOL = ("task", "task_version", "data", "split", "limit", "seed", "metrics")


@dataclass(frozen=True, slots=True)
class Standing:
    """One record's place among those that it can be compared with."""

    record: Record
    rank: int  # 0: nothing counted or it was imported, so that it has no rank
    letters: str  # "" beyond the rows that are compared


def protocol(record: Record, seed: bool = True) -> tuple[str, ...]:
    """What must agree before two records may be ranked together; without the seed, where seeds are brought together."""
    signature = record.result.signature
    return tuple(
        json.dumps(signature.get(key), sort_keys=True, default=str) for key in PROTOCOL if seed or key != "seed"
    )


def standings(group: Sequence[Record]) -> list[Standing]:
    """Ranks and letters of records that share a protocol, best first; those without a value come last.

    Errors: UsageError when they do not share one.
    """
    protocols = [protocol(record) for record in group]
    for place, key in enumerate(PROTOCOL):
        if len({found[place] for found in protocols}) > 1:
            raise UsageError(f"results that differ in {key} cannot be ranked together.")
    ranked = [record for record in group if isfinite(headline(record))]
    rest = [Standing(record, 0, "") for record in group if not isfinite(headline(record))]
    if not ranked:
        return rest
    first = ranked[0].result
    sign = -1.0 if first.metrics[first.headline].higher_is_better else 1.0
    ranked.sort(key=lambda record: (sign * headline(record), *_names(record)))
    compared, others = ranked[:COMPARED], ranked[COMPARED:]
    different = separated(compared)
    shown = letters(len(compared), different)
    better = [0] * len(compared)
    for _, worse in different:
        better[worse] += 1
    found = [Standing(record, 1 + better[row], shown[row]) for row, record in enumerate(compared)]
    return found + [Standing(record, len(compared) + 1 + row, "") for row, record in enumerate(others)] + rest


def separated(ranked: Sequence[Record], level: float = LEVEL, draws: int = DRAWS) -> list[tuple[int, int]]:
    """Pairs of rows (the better one first) that a paired test tells apart, Holm over all pairs.

    p is that of difference / standard error under Student's law: for sums the jackknife's, with as many degrees of
    freedom as the differences' kurtosis leaves, else the bootstrap's with U - 1 for U examples (or clusters); counting
    resamples could never pass Holm over the pairs of fifty rows. A difference that is the same in every example has
    p = 2^(1 - U), that of swapping them. Rows without per-example statistics, or with other examples than the first
    that has them, are never told apart.

    Rows of several seeds must differ beyond what seeds do: the variance of their difference over seeds, over S, is
    added to that over examples, with Welch and Satterthwaite's degrees of freedom.
    """
    kept, runs, groups = _aligned(ranked)
    metric = metric_of(ranked, kept)
    if metric is None or len(kept) < 2 or len(runs[0]) < 2:
        return []
    units = units_of(runs[0], groups)
    if units < 2:
        return []
    value_K = np.array([metric.reduce(run) for run in runs])
    left_P, right_P = np.triu_indices(len(kept), 1)
    p_values = student_p(
        np.abs(value_K[left_P] - value_K[right_P]),
        spreads(metric, runs, groups, draws=draws),
        over_seeds=_over_seeds([ranked[row] for row in kept], left_P, right_P),
        units=units,
    )
    pairs = [(kept[left], kept[right]) for left, right in zip(left_P.tolist(), right_P.tolist(), strict=True)]
    return [pair for pair, p in zip(pairs, holm(p_values), strict=True) if p < level]


def headline(record: Record) -> float:
    """The headline's value; NaN when it has none or it is infinite."""
    value = record.result.metrics[record.result.headline].value
    return value if isfinite(value) else nan


def wins(first: Record, second: Record) -> tuple[int, int, int] | None:
    """Examples that the first answers better, equally, worse by the headline's statistics; None if not comparable.

    Only for metrics that are the mean of one number an example.
    """
    kept, runs, _ = _aligned([first, second])
    if len(kept) < 2 or not isinstance(metric_of([first, second], kept), MeanMetric):
        return None
    found = first.result.metrics[first.result.headline]
    gain_N = (runs[0] - runs[1])[:, 0] * (1.0 if found.higher_is_better else -1.0)
    return int((gain_N > 0).sum()), int((gain_N == 0).sum()), int((gain_N < 0).sum())


def _over_seeds(
    records: Sequence[Record], left_P: NDArray[np.int64], right_P: NDArray[np.int64]
) -> tuple[Array, int] | None:
    """Variance of the mean of each pair's difference over seeds, and how many seeds; None for rows of one run."""
    if not any(record.parts for record in records):
        return None
    values_KS = np.array([values(record) for record in records])
    difference_PS = values_KS[left_P] - values_KS[right_P]
    return difference_PS.var(axis=1, ddof=1) / values_KS.shape[1], values_KS.shape[1]


def _aligned(ranked: Sequence[Record]) -> tuple[list[int], list[Array], NDArray[np.int64] | None]:
    """Rows with the same examples, their statistics without examples that any of them does not count, clusters."""
    name = ranked[0].result.headline
    chosen = [
        (row, record.result.samples)
        for row, record in enumerate(ranked)
        if record.result.samples is not None and name in record.result.samples.statistics
    ]
    if not chosen:
        return [], [], None
    first = chosen[0][1]
    shape = first.statistics[name].shape
    chosen = [
        (row, samples)
        for row, samples in chosen
        if samples.ids_digest == first.ids_digest and samples.statistics[name].shape == shape
    ]
    wide = [samples.statistics[name] for _, samples in chosen]
    rows, groups = clean(np.concatenate(wide, axis=1), first.cluster_names() or None)
    return [row for row, _ in chosen], np.split(rows, len(wide), axis=1), groups


def metric_of(ranked: Sequence[Record], kept: Sequence[int]) -> Metric | None:
    """What reduces the headline's statistics, the same for all rows; None where no such metric is here."""
    result = ranked[0].result
    found: list[Metric | None] = []
    for row in kept:
        # statistics averaged over seeds need not give the mean of the seeds' values
        one = (ranked[row].parts or (ranked[row],))[0].result
        assert one.samples is not None
        rows_NS = one.samples.statistics[result.headline]
        found.append(reducer(result.task, result.headline, one.metrics[result.headline], rows_NS))
    return found[0] if found and all(metric == found[0] for metric in found) else None


def _names(record: Record) -> tuple[str, str, str]:
    return (record.result.model, record.result.decoder or "", record.result.digest)
