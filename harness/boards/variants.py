"""What does a named weights variant cost? Its headline beside the same contestant's with full weights."""

from __future__ import annotations

from collections.abc import Sequence

from harness import paired
from harness.api import registry
from harness.api.errors import HarnessError
from harness.boards.ranking import metric_of
from harness.boards.records import Record


def beside_full_weights(record: Record, peers: Sequence[Record]) -> str:
    """Its value less the full weights', with the paired 95% interval, and how many answers stayed; or nothing.

    `peers` are the records of the same table: the twin is the one whose model is the same but for `weights`.
    """
    twin = _full_twin(record, peers)
    if twin is None:
        return ""
    ours, theirs = record.result.samples, twin.result.samples
    name = record.result.headline
    if ours is None or theirs is None or ours.ids_digest != theirs.ids_digest or name not in theirs.statistics:
        return ""
    metric = metric_of((twin, record), (0, 1))
    if metric is None:
        return ""
    found = paired.compare(
        metric, theirs.statistics[name], ours.statistics[name], ours.cluster_names() if ours.clusters else None
    )
    low, high = found.interval
    text = f"{found.value:+.3g} [{low:+.3g}, {high:+.3g}]"
    if record.outputs and len(record.outputs) == len(twin.outputs):
        same = sum(mine == other for mine, other in zip(record.outputs, twin.outputs, strict=True))
        text += f", {same}/{len(record.outputs)} answers"
    return text


def _full_twin(record: Record, peers: Sequence[Record]) -> Record | None:
    """The record of the same checkpoint, decoder and precision asked for, with full weights."""
    try:
        name, parameters = registry.parse(record.result.model)
    except HarnessError:
        # a row from elsewhere, whose name is no spec
        return None
    if parameters.pop("weights", "full") == "full":
        return None
    wanted = registry.format_spec(name, parameters)
    return next((peer for peer in peers if peer.result.model == wanted and _alike(peer, record)), None)


def _alike(peer: Record, record: Record) -> bool:
    ours, theirs = record.result.signature, peer.result.signature
    digests = [dict(signature.get("weights") or {}).get("weights") for signature in (ours, theirs)]
    same = peer.result.decoder == record.result.decoder and ours.get("dtype") == theirs.get("dtype")
    return same and digests[0] == digests[1]
