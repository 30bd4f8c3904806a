"""surprisal_effect: how much more surprising the hard version of a sentence is than the easy one, in bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._scored import bits, scored


@metric(version=1, paper="Huang et al. 2024, Journal of Memory and Language 137")
class SurprisalEffect(MeanMetric):
    """Surprisal of the hard sentence less that of the easy one, summed over a region's words; mean over items.

    `region`: the critical word, the two words after it (spill-over), or all three. The target's `places` hold, for
    each sentence, the [start, end) characters of the three words.
    """

    region: Literal["critical", "spillover", "all"] = "all"

    higher_is_better = True
    unit = "bits"

    @property
    def name(self) -> str:
        """Column name."""
        return f"effect_{self.region}"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """This item's difference."""
        words = {"critical": slice(0, 1), "spillover": slice(1, None), "all": slice(None)}[self.region]
        easy, hard = (
            sum(bits(response, start, end) for start, end in places[words])
            for response, places in zip(scored(self.name, responses), example.target["places"], strict=True)
        )
        return float(hard - easy)
