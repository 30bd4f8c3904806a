"""sequence/flashrnn: any recurrent cell with a block-diagonal recurrence over heads."""

from __future__ import annotations

from typing import Literal

from harness.api.registry import model
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site
from harness.models.sequence._recurrent import HeadwiseRNN


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Poeppel et al. 2024, FlashRNN, arXiv:2412.07752",
    differs="none in the recurrence; the kernel is `fused_rnn`",
)
class FlashRNN(SequenceModel):
    """Elman, LSTM, GRU or sLSTM heads that do not talk to each other in time, on the fused kernel.

    N heads are N independent networks over one shared input projection; the paper's sizes are head widths of 16..768.
    Differs from the paper: none in the recurrence; the kernel is `fused_rnn`.
    """

    cell: Literal["elman", "lstm", "gru", "slstm"] = "lstm"
    heads: int = 4

    def mixer(self, site: Site) -> Mixer:
        """One recurrent layer."""
        return HeadwiseRNN(site.width, self.cell, self.heads)
