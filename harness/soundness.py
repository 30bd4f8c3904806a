"""Does a stored result hold together? What its signature and facts must be like, and what would contradict the rest.

A result file may come from anyone: what readers take for granted is asked here, once, before anything is read from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import signature as signatures
from harness import timing
from harness.api import secrets
from harness.api.errors import DataError

if TYPE_CHECKING:
    from harness.results import Measurement, RunResult

Check = Callable[[Any], bool]
LONGEST = 10_000  # letters of a spec, which may hold several paths


def check_signature(signature: Mapping[str, Any], origin: str) -> None:
    """DataError names the part of a signature that is absent or of the wrong kind."""
    for key in ("task", "model", "seed", "split"):
        if key not in signature:
            raise DataError(f"{origin}: its signature lacks {key!r}.")
    _kinds(signature, SIGNATURE, f"{origin}: its signature")
    for key in ("task", "model", "decoder"):
        secret = secrets.found(signature.get(key) or "")
        if secret:
            raise DataError(f"{origin}: its {key} holds {secret}, which must not be shown; run it again without.")


def check(result: RunResult, origin: str) -> None:
    """DataError says what in a result contradicts the rest of it, or is of a kind that nobody can read."""
    for facts, kinds, name in (
        (result.timings, TIMINGS, "timings"),
        (result.environment, ENVIRONMENT, "environment"),
        (result.identity, IDENTITY, "identity"),
    ):
        _kinds(facts, kinds, f"{origin}: its {name}")
    columns = {len(numbers) for numbers in timing.from_columns(result.timings).values()}
    if columns - {result.examples}:
        raise DataError(f"{origin}: its timings by example are of {sorted(columns)} examples, not {result.examples}.")
    _counts(result, origin)
    for name, found in result.metrics.items():
        _measured(result, name, found, origin)
    for part in result.breakdown:
        if result.headline not in part.metrics:
            raise DataError(f"{origin}: its row of {dict(part.tags)} lacks {result.headline}.")
        for name, found in part.metrics.items():
            _bounds(found, f"{origin}: {name} of {dict(part.tags)}")
    digest = signatures.digest(result.signature)
    if result.digest != digest:
        raise DataError(f"{origin}: its digest is {result.digest[:40]!r}, but its signature's is {digest!r}.")


def _counts(result: RunResult, origin: str) -> None:
    told = sum(kind.count for kind in result.failures)
    if not 0 <= told <= result.failed <= result.examples or any(kind.count < 1 for kind in result.failures):
        raise DataError(
            f"{origin}: of {result.examples} examples {result.failed} failed, and its kinds of failures count {told}."
        )


def _measured(result: RunResult, name: str, found: Measurement, origin: str) -> None:
    _bounds(found, f"{origin}: {name}")
    counted = found.n
    if result.samples is not None and name in result.samples.statistics:
        counted = int((~np.isnan(result.samples.statistics[name]).any(axis=1)).sum())
    if found.n != counted or not 0 <= found.n <= result.examples:
        raise DataError(
            f"{origin}: {name} counts {found.n} examples; its samples hold {counted}, the run {result.examples}."
        )


def _bounds(found: Measurement, origin: str) -> None:
    # a bootstrap's interval may just miss the value that it belongs to, so that its own width is allowed for
    reach = found.high - found.low
    if reach < 0 or abs(found.value - (found.low + found.high) / 2) > 1.5 * reach + _rounding(found.value):
        raise DataError(f"{origin} is {found.value:.6g}, and its interval is [{found.low:.6g}, {found.high:.6g}].")
    if found.scale is not None:
        low, high = min(found.scale), max(found.scale)
        if found.value < low - _rounding(low) or found.value > high + _rounding(high):
            raise DataError(f"{origin} is {found.value:.6g}, and its scale is {low:g} to {high:g}.")


def _rounding(value: float) -> float:
    return 1e-9 * max(1.0, abs(value)) if isfinite(value) else 0.0


def _kinds(facts: Mapping[str, Any], kinds: Mapping[str, tuple[str, Check]], origin: str) -> None:
    for key, (what, fits) in kinds.items():
        if key in facts and not fits(facts[key]):
            raise DataError(f"{origin} has the {key} {str(facts[key])[:60]!r}; it should be {what}.")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _amount(value: Any) -> bool:
    return _number(value) and value >= 0


def _mapping_of(fits: Check) -> Check:
    return lambda value: isinstance(value, Mapping) and all(map(fits, value.values()))


def _or_none(fits: Check) -> Check:
    return lambda value: value is None or fits(value)


def _columns(value: Any) -> bool:
    try:
        return _mapping_of(_text)(value) and bool(timing.from_columns({"by_example": value}) or not value)
    except ValueError:
        # a word among its numbers
        return False


TEXT = ("text", _text)
NAME = (f"a name of at most {LONGEST:,} letters", _name)
MAYBE_TEXT = ("text or null", _or_none(_text))
AMOUNT = ("a number of 0 or more, or null", _or_none(_amount))
TEXTS = ("an object of texts, or null", _or_none(_mapping_of(_text)))
AMOUNTS = ("an object of numbers, or null", _or_none(_mapping_of(_or_none(_number))))
OBJECT = ("an object, or null", _or_none(lambda value: isinstance(value, Mapping)))

# what must be of a kind wherever it is there; a key that is not named here may be anything
SIGNATURE: Mapping[str, tuple[str, Check]] = {
    "task": NAME,
    "model": NAME,
    "split": NAME,
    "seed": ("a whole number", _whole),
    "decoder": ("a name or null", _or_none(_name)),
    "limit": AMOUNT,
    "budget": AMOUNTS,
    "metrics": ("an object of texts", _mapping_of(_text)),
    "weights": TEXTS,
    "decoder_weights": TEXTS,
    "code": TEXTS,
    "dtype": TEXT,
    "harness": TEXT,
}
TIMINGS: Mapping[str, tuple[str, Check]] = {
    **dict.fromkeys(
        (
            "wall_seconds", "model_seconds", "tokens_per_second", "examples_per_second", "peak_resident_bytes",
            "peak_device_bytes", "energy_joules", "requests_a_batch", "tokens",
        ),
        AMOUNT,
    ),
    **dict.fromkeys(("latency_seconds", "first_token_seconds", "counters"), AMOUNTS),
    "company": MAYBE_TEXT,
    "phases": OBJECT,
    "by_example": ("an object of lines of numbers", _columns),
}  # fmt: skip
ENVIRONMENT: Mapping[str, tuple[str, Check]] = {
    **dict.fromkeys(("cpu", "accelerator", "date", "machine", "system", "commit"), MAYBE_TEXT),
    **dict.fromkeys(("cores", "load"), AMOUNT),
    "threads": ("text or a number", lambda value: _or_none(_text)(value) or _amount(value)),
    "versions": TEXTS,
}
IDENTITY: Mapping[str, tuple[str, Check]] = dict.fromkeys(("parameters", "state_bytes"), AMOUNT)
