"""How well Google's neural machine translation system works at a size that a CPU can train."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.models.seq2seq._int8 import round_weights
from harness.models.seq2seq._learner import SequenceToSequence
from harness.models.seq2seq._network import EncoderDecoder
from harness.models.seq2seq._recurrent import Recurrent, Shape


@model(
    doors=("generate", "score"),
    paper="Wu et al. 2016, Google's Neural Machine Translation System, arXiv:1609.08144",
    licence="Apache-2.0",
    learns=True,
    decodes=True,
    offers=(),
    differs="Small; byte-level BPE instead of wordpieces; AdamW with a cosine schedule, no reinforcement learning; the "
    "attention of the current step, not of the one before; int8 weights are rounded to their grid and multiplied in "
    "float32.",
)
class Gnmt(SequenceToSequence):
    """LSTM stacks with a bidirectional bottom layer, residual sums from the third layer, additive attention.

    The bottom decoder layer asks, all layers above read the context. With `clip`, LSTM cells and the outputs between
    layers stay within [-delta, delta], delta falling from `clip_start` to `clip_end` over training, and logits within
    [-25, 25]. With `int8`, each row of a weight matrix is rounded to 127 steps of its largest entry before answering.
    Search with `beam:alpha=0.2,beta=0.2,prune=3` for the paper's scores.

    The paper's network has 8 + 8 layers of 1,024 cells, 32,000 wordpieces, dropout 0.2 to 0.3, parameters that start in
    [-0.04, 0.04] (here torch's own [-1, 1] / sqrt(width)), Adam for 60,000 steps and then SGD; WMT14
    en-de BLEU 24.61 (single). The default here is 3 + 3 layers of 256, so that one layer of each stack is residual.

    Wu et al. 2016, arXiv:1609.08144.
    Differs from the paper: as said on the card; `clip` is off by default, since the clipped loop trains several times
    slower than torch's own LSTM.
    """

    depth: int = 3
    clip: bool = False
    clip_start: float = 8.0  # section 6
    clip_end: float = 1.0
    int8: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.clip_end <= self.clip_start:
            raise UsageError("clip_start must be at least clip_end, and both must be positive.")

    def network(self, vocabulary: int) -> Recurrent:
        """The untrained network."""
        return Recurrent(
            Shape(
                vocabulary=vocabulary,
                width=self.width,
                depth=self.depth,
                cell="lstm",
                attention="additive",
                bidirectional=True,
                reverse=False,
                residual=True,
                dropout=self.dropout,
            )
        )

    def anneal(self, network: EncoderDecoder, share: float) -> None:
        """Set delta for the share of the budget that is spent."""
        assert isinstance(network, Recurrent)
        fallen = self.clip_start + (self.clip_end - self.clip_start) * min(1.0, share)
        network.clip(fallen if self.clip else math.inf)

    def finish(self, network: EncoderDecoder) -> Mapping[str, float]:
        """Round the weights where `int8` asks for it."""
        return {"largest_rounding": round_weights(network)} if self.int8 else {}
