"""Where on a picture does a number stand, and which round numbers are told beside it? Linear and logarithmic axes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, isfinite, log, log10

MOST = 7  # ticks of an axis


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a panel, from `low` to `high`."""

    label: str
    low: float
    high: float
    base: int = 0  # of a logarithmic axis; 0: linear
    flipped: bool = False  # the high end is on the left, or below
    names: tuple[tuple[float, str], ...] | None = None  # its ticks; None: round numbers
    grid: bool = True

    def place(self, value: float) -> float:
        """Share of the way from the left (from below), 0 to 1 within the axis."""
        low, high, here = (log(number) if self.base else number for number in (self.low, self.high, value))
        share = (here - low) / (high - low)
        return 1 - share if self.flipped else share

    def ticks(self) -> list[tuple[float, str]]:
        """Numbers inside the axis and their text."""
        if self.names is not None:
            return list(self.names)
        found = _round_powers(self.low, self.high, self.base) if self.base else _round_numbers(self.low, self.high)
        return [(value, _told(value, self.base)) for value in found]


def spanning(
    label: str, values: Iterable[float], *, base: int = 0, margin: float = 0.06, flipped: bool = False
) -> Axis:
    """An axis that holds all finite values, with a margin (a share of its length) at either end."""
    known = [value for value in values if isfinite(value) and (value > 0 or not base)]
    low, high = (min(known), max(known)) if known else (1.0, 1.0)
    if base:
        factor = (high / low) ** margin if high > low else 2.0
        return Axis(label, low / factor, high * factor, base, flipped)
    room = (high - low) * margin if high > low else max(abs(high) * 0.05, 0.5)
    return Axis(label, low - room, high + room, 0, flipped)


def _round_numbers(low: float, high: float) -> list[float]:
    rough = (high - low) / MOST
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    # counted in whole steps, since adding steps up would drift
    return [number * step for number in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _round_powers(low: float, high: float, base: int) -> list[float]:
    first, last = ceil(log(low, base) - 1e-9), floor(log(high, base) + 1e-9)
    powers = [float(base) ** number for number in range(first, last + 1)]
    if base == 10 and len(powers) < 3:
        finer = [factor * 10.0**number for number in range(first - 1, last + 1) for factor in (1, 2, 5)]
        inside = [value for value in finer if low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)]
        return inside if len(inside) > 1 else _round_numbers(low, high)
    return powers[:: ceil(len(powers) / MOST)] or [low]


def _told(value: float, base: int) -> str:
    if base != 2:
        for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= scale:
                return f"{value / scale:.6g}{letter}"
    return f"{value:.6g}" if value else "0"
