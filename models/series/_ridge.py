"""How are random convolutional features classified? A ridge classifier whose strength training cases alone choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.models.series._cases import SHORTEST, Cases, Scorer, Series, library, stretched

STRENGTHS = np.logspace(-3, 3, 10)  # Dempster et al. 2020, section 3.2


def ridge(cases: Cases, transform: Any) -> Scorer:
    """Features of `transform` (an aeon transformer), standardised, into scikit-learn's leave-one-out ridge classifier.

    Series are stretched to the longest training length (12 steps at least), since the features need one length.
    """
    linear, pipeline, scaling = (library(f"sklearn.{name}") for name in ("linear_model", "pipeline", "preprocessing"))
    length, seen = max(SHORTEST, cases.longest), np.unique(cases.labels)

    def features(series: Sequence[Series]) -> NDArray[np.float64]:
        return np.nan_to_num(np.asarray(transform.transform(stretched(series, length)), dtype=np.float64))

    if len(seen) == 1:
        return lambda series: _spread(np.zeros((len(series), 1)), seen, cases.classes)
    transform.fit(stretched(cases.series, length))
    classifier = pipeline.make_pipeline(
        scaling.StandardScaler(with_mean=False), linear.RidgeClassifierCV(alphas=STRENGTHS)
    )
    classifier.fit(features(cases.series), cases.labels)

    def score(series: Sequence[Series]) -> NDArray[np.float64]:
        decided = np.asarray(classifier.decision_function(features(series)))
        if decided.ndim == 1:
            decided = np.stack([-decided, decided], axis=1)
        return _spread(decided, seen, cases.classes)

    return score


def _spread(scores_NS: NDArray[np.float64], seen: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Scores of all classes; one that training never saw cannot win."""
    whole = np.full((len(scores_NS), classes), -np.inf)
    whole[:, seen] = scores_NS
    return whole
