"""sequence/gru: the gated recurrent unit."""

from __future__ import annotations

from harness.api.registry import model
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site
from harness.models.sequence._recurrent import HeadwiseRNN


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Cho et al. 2014, arXiv:1406.1078",
    differs="the reset gate acts after the recurrent product, as in cuDNN and torch",
)
class GRU(SequenceModel):
    """h_t = z h_{t-1} + (1 - z) tanh(W x + b + r (R h_{t-1} + c)), with gates r and z.

    Differs from the paper: the reset gate acts after the recurrent product, as in cuDNN and torch.
    """

    heads: int = 1

    def mixer(self, site: Site) -> Mixer:
        """One recurrent layer."""
        return HeadwiseRNN(site.width, "gru", self.heads)
