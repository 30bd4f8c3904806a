"""JFLEG: the official sizes, four references each, and the published score of no correction."""

from __future__ import annotations

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.types import Generate, Generated
from harness.sources import DataSources


@pytest.mark.parametrize(("split", "count"), [("validation", 754), ("test", 747)])
def test_splits_have_their_official_sizes_and_four_references(
    real_sources: DataSources, split: str, count: int
) -> None:
    items = list(registry.create("task", "keyboard/jfleg").examples(split, 0, real_sources))
    assert len(items) == count
    assert all(len(item.target) == 4 for item in items)


def test_no_correction_reaches_the_published_gleu(real_sources: DataSources) -> None:
    items = list(registry.create("task", "keyboard/jfleg").examples("test", 0, real_sources))
    metric = registry.create("metric", "gleu:iterations=10")
    rows = []
    for item in items:
        request = item.requests[0]
        assert isinstance(request, Generate)
        rows.append(metric.measure(item, (Generated(str(request.source)),)))
    assert metric.reduce(np.stack(rows)) == pytest.approx(40.5, abs=0.2)  # Napoles et al. 2017, uncorrected source


def test_there_is_no_training_split(real_sources: DataSources) -> None:
    with pytest.raises(UsageError, match="validation, test"):
        next(iter(registry.create("task", "keyboard/jfleg").examples("train", 0, real_sources)))
