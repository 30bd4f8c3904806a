"""number_match: the share of answers whose number is the target's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._generated import generated

# lm-eval's patterns for GSM8K: `strict-match` and `flexible-extract`
MARKED = re.compile(r"#### (\-?[0-9\.\,]+)")
ANY = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")


@metric(version=1, paper="Cobbe et al. 2021, arXiv:2110.14168")
class NumberMatch(MeanMetric):
    """1 when the answer's number equals the target's after commas, dollar signs and a final full stop are taken off.

    `found`: the last number in the text, or the first one after the mark `####`. Without one the example is wrong.
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
        return f"number_match|found:{self.found}|version:1"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Compare the first response's number with the target."""
        text = generated(self.name, responses)[0].text
        if self.found == "marked":
            match = MARKED.search(text)
            number = match.group(1) if match else ""
        else:
            numbers = ANY.findall(text)
            number = numbers[-1] if numbers else ""
        return float(bool(number) and _bare(number) == _bare(str(example.target)))


def _bare(number: str) -> str:
    return re.sub(r"[,$]", "", number.strip()).removesuffix(".").lower()
