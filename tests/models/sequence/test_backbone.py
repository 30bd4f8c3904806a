"""Do the backbone's parts start where learning can begin?"""

from __future__ import annotations

import pytest

from harness.api import registry
from harness.models.sequence._backbone import Backbone, Shape
from harness.models.sequence._mixer import Site


@pytest.mark.parametrize(("tied", "spread"), [(False, 1.0), (True, 0.02)])
def test_a_token_weighs_as_much_as_a_mixers_answer_unless_the_head_shares_its_weights(
    tied: bool, spread: float
) -> None:
    entry = registry.create("model", "sequence/gru")
    shape = Shape(64, 1, 50, vocabulary=50, per_position=True, tied=tied)
    network = Backbone(shape, lambda layer: entry.mixer(Site(64, layer)))
    assert float(network.embed.weight.std()) == pytest.approx(spread, rel=0.05)
