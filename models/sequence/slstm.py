"""sequence/slstm: the LSTM with exponential gates, a normaliser and mixing within heads."""

from __future__ import annotations

from harness.api.registry import model
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site
from harness.models.sequence._recurrent import HeadwiseRNN


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Beck et al. 2024, xLSTM, arXiv:2405.04517",
    differs="the bare cell in the common block; the block with convolution and group norm is `sequence/xlstm`",
)
class SLSTM(SequenceModel):
    """c_t = f' c + i' tanh(z), n_t = f' n + i', h_t = sigmoid(o) c_t / n_t, with gates stabilised by m_t.

    Differs from the paper: the bare cell in the common block; the block with convolution and group norm is
    `sequence/xlstm`.
    """

    heads: int = 4
    forget: float = 3.0  # bias of the forget gate at the start, inside the paper's range of -5..7 + 5

    def mixer(self, site: Site) -> Mixer:
        """One recurrent layer."""
        return HeadwiseRNN(site.width, "slstm", self.heads, self.forget)
