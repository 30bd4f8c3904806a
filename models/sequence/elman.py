"""sequence/elman: the simple recurrent network."""

from __future__ import annotations

from harness.api.registry import model
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site
from harness.models.sequence._recurrent import HeadwiseRNN


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Elman 1990, Finding structure in time",
    differs="trained by full back-propagation through time, inside pre-norm residual blocks",
)
class Elman(SequenceModel):
    """h_t = tanh(W x_t + R h_{t-1} + b).

    Differs from the paper: trained by full back-propagation through time, inside pre-norm residual blocks.
    """

    heads: int = 1

    def mixer(self, site: Site) -> Mixer:
        """One recurrent layer."""
        return HeadwiseRNN(site.width, "elman", self.heads)
