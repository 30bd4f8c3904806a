"""How well a deep LSTM translates that keeps the whole sentence in one state."""

from __future__ import annotations

from harness.api.registry import model
from harness.models.seq2seq._learner import SequenceToSequence
from harness.models.seq2seq._recurrent import Recurrent, Shape


@model(
    doors=("generate", "score"),
    paper="Sutskever, Vinyals, Le 2014, Sequence to Sequence Learning with Neural Networks, arXiv:1409.3215",
    licence="Apache-2.0",
    learns=True,
    decodes=True,
    offers=(),
    differs="Small; byte-level BPE shared by both sides and tied embeddings instead of two word lists; AdamW with a "
    "cosine schedule instead of SGD at 0.7.",
)
class Sutskever(SequenceToSequence):
    """(h, c) = LSTM(x_S, ..., x_1); y_t from LSTM(y_<t; h, c): no attention, the source read from its end.

    The paper's network has four layers of 1,000 cells, 160,000 source and 80,000 target words, parameters that start
    in [-0.08, 0.08] (here torch's own [-1, 1] / sqrt(width)), batches of 128 and a gradient norm of at most 5 (there of
    a sum over 128); on WMT14 en-fr its single model reaches BLEU 26.17 forwards and 30.59 reversed with a beam of 12.
    The default here is two layers of 256.

    Sutskever, Vinyals, Le 2014, arXiv:1409.3215.
    Differs from the paper: sizes, units and optimiser as said on the card; label smoothing.
    """

    dropout: float = 0.1
    reverse: bool = True  # read the source from its end, section 3.3

    def network(self, vocabulary: int) -> Recurrent:
        """The untrained network."""
        return Recurrent(
            Shape(
                vocabulary=vocabulary,
                width=self.width,
                depth=self.depth,
                cell="lstm",
                attention="none",
                bidirectional=False,
                reverse=self.reverse,
                residual=False,
                dropout=self.dropout,
            )
        )
