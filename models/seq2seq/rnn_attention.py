"""How well a recurrent encoder-decoder with attention transforms a text."""

from __future__ import annotations

from typing import Literal

from harness.api.registry import model
from harness.models.seq2seq._learner import SequenceToSequence
from harness.models.seq2seq._recurrent import Recurrent, Shape


@model(
    doors=("generate", "score"),
    paper="Bahdanau, Cho, Bengio 2015, Neural Machine Translation by Jointly Learning to Align and Translate",
    licence="Apache-2.0",
    learns=True,
    decodes=True,
    offers=(),
    differs="Small; byte-level BPE shared by both sides, tied embeddings, label smoothing, AdamW; the decoder's bottom "
    "layer asks for the context, which the layers above it read.",
)
class RnnAttention(SequenceToSequence):
    """Bidirectional GRU or LSTM encoder -> decoder with additive attention a_ts = softmax_s(v . tanh(Q q_t + K k_s)).

    The paper's network is one layer of 1,000 units with 30,000 words a side; the default here is two of 256 with 6,000
    shared units, which two CPU cores train in minutes.

    Bahdanau, Cho, Bengio 2015, arXiv:1409.0473.
    Differs from the paper: q_t is the bottom layer's own state, so that no step waits for the attention of the one
    before; sizes, units, tied embeddings and optimiser are as said on the card.
    """

    cell: Literal["gru", "lstm"] = "gru"
    reverse: bool = False  # read the source from its end

    def network(self, vocabulary: int) -> Recurrent:
        """The untrained network."""
        return Recurrent(
            Shape(
                vocabulary=vocabulary,
                width=self.width,
                depth=self.depth,
                cell=self.cell,
                attention="additive",
                bidirectional=True,
                reverse=self.reverse,
                residual=False,
                dropout=self.dropout,
            )
        )
