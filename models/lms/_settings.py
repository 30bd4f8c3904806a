"""What does one key of a configuration say? A value of its type within its bounds, or one line that names the key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

from harness.api.errors import DataError


@final
class Settings:
    """The keys of a configuration (or of an object in it); every complaint names the key and the value found.

    A key that is absent or null is the given default, or refused where there is none.
    """

    def __init__(
        self, given: Mapping[str, Any], place: str = "", *, source: str = "config.json", remedy: str = "add it"
    ) -> None:
        self.given = given
        self._place, self._source, self._remedy = place, source, remedy

    def whole(self, key: str, default: int | None = None, *, least: int = 1, most: int = 1 << 31) -> int:
        """A whole number from `least` to `most`."""
        value = self._value(key, default)
        # some exporters write 4096.0
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.refused(key, f"a whole number from {least} to {most} was expected")
        return value

    def number(self, key: str, default: float | None = None, *, above: float = 0.0, least: float = -math.inf) -> float:
        """A finite number larger than `above`, and not below `least`."""
        value = self._value(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not _fits(value, above, least):
            raise self.refused(key, f"a finite number above {above:g} was expected")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.refused(key, "true or false was expected")
        return value

    def word(self, key: str, default: str) -> str:
        """A text."""
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self.refused(key, "a text was expected")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts, one at least."""
        value = self._value(key, None)
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise self.refused(key, "a list of texts was expected")
        return value

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """So many finite numbers above 0."""
        value = self._value(key, None)
        if not isinstance(value, list | tuple) or len(value) != count:
            raise self.refused(key, f"a list of {count} numbers was expected")
        if not all(isinstance(item, int | float) and _fits(item, 0.0, -math.inf) for item in value):
            raise self.refused(key, "finite numbers above 0 were expected")
        return tuple(float(item) for item in value)

    def inner(self, key: str) -> Settings:
        """An object in the object; empty when absent or null."""
        value = self.given.get(key)
        if value is None:
            return Settings({}, self._named(key))
        if not isinstance(value, Mapping):
            raise self.refused(key, "an object was expected")
        return Settings(value, self._named(key))

    def has(self, key: str) -> bool:
        """Whether the key is there, and not null."""
        return self.given.get(key) is not None

    def refused(self, key: str, why: str) -> DataError:
        """The error of a key, which the caller raises."""
        if key not in self.given:
            return DataError(f"{self._source}: {self._named(key)} is missing, and has no default; {self._remedy}.")
        found = repr(self.given[key])
        found = found if len(found) <= 60 else found[:57] + "..."
        return DataError(f"{self._source}: {self._named(key)} is {found}; {why}.")

    def _value(self, key: str, default: object) -> Any:
        value = self.given.get(key)
        return default if value is None else value

    def _named(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key


def _fits(value: float, above: float, least: float) -> bool:
    # a whole number may be too large for a float
    return abs(value) < 1e300 and math.isfinite(value) and value > above and value >= least
