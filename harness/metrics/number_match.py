"""number_match: the share of answers whose number is the target's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from harness.api.errors import HarnessError
from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._generated import generated

# digits of any script, with commas between thousands (or lakhs); no dot that ends a sentence is part of a number
DIGITS = r"(?:\d{1,3}(?:,\d{2,3}){0,20},\d{3}(?!\d)|\d+)"
# a minus that stands between two words or numbers joins a range: "70-72" ends in 72
NUMBER = rf"(?:(?<![\w.)\]])[-\u2212])?(?:\$\s?-?)?(?:{DIGITS}(?:\.\d+)?|(?<!\d)\.\d+)"
LONGEST = 1000  # characters of a number
ANY = re.compile(NUMBER)
MARKED = re.compile(rf"####\s*({NUMBER})")


@metric(version=2, paper="Cobbe et al. 2021, arXiv:2110.14168")
class NumberMatch(MeanMetric):
    """1 when the answer's number equals the target's, as numbers: 72, 72.00, $72 and "72..." are one.

    `found`: the last number in the text, or the first one after the mark `####`. Without one the example is wrong.

    Differs from the paper: lm-eval's `flexible-extract` and `strict-match` compare spellings, and take dots after a
    number ("72...", a later "...") for a part of it, so that they find some right answers wrong.
    """

    found: Literal["last", "marked"] = "last"

    higher_is_better = True
    scale = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return f"number_{self.found}"

    @property
    def signature(self) -> str:
        """Name and where the number is looked for."""
        return f"number_match|found:{self.found}|version:2"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Compare the first response's number with the target."""
        text = generated(self.name, responses)[0].text
        wanted = _value(str(example.target))
        if wanted is None:
            raise HarnessError(f"{self.name}: the target of example {example.id!r} is {example.target!r}, no number.")
        if self.found == "marked":
            match = MARKED.search(text)
            return float(match is not None and _value(match.group(1)) == wanted)
        numbers = ANY.findall(text)
        return float(bool(numbers) and _value(numbers[-1]) == wanted)


def _value(text: str) -> Fraction | None:
    """The exact number that a text is, its dollar sign and commas apart; None where it is none."""
    bare = re.sub(r"[,$\s]", "", text).replace("\u2212", "-").removesuffix(".")
    # longer than any answer, and slow to read
    if len(bare) > LONGEST or not re.fullmatch(r"-?\d*\.?\d+", bare):
        return None
    return Fraction(bare)
