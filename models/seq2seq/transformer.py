"""How well a small Transformer encoder-decoder transforms a text."""

from __future__ import annotations

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.models.seq2seq._attentive import Attentive, Shape
from harness.models.seq2seq._learner import SequenceToSequence


@model(
    doors=("generate", "score"),
    paper="Vaswani et al. 2017, Attention Is All You Need, arXiv:1706.03762",
    licence="Apache-2.0",
    learns=True,
    decodes=True,
    offers=(),
    differs="Small; normalisation before each block; cosine schedule over the budget instead of inverse square root; "
    "checkpoints are not averaged.",
)
class TransformerSeq2Seq(SequenceToSequence):
    """softmax(Q K^T / sqrt(d)) V over source and earlier targets, with sinusoidal positions and tied embeddings.

    The paper's base network has 6 + 6 layers of width 512 with 8 heads and 2,048 hidden units; the default here has
    `depth` + `depth` layers of width 256 with 4 heads and 1,024, which two CPU cores train in tens of minutes.

    Vaswani et al. 2017, arXiv:1706.03762.
    Differs from the paper: normalisation before each block (Xiong et al. 2020), sizes, schedule, no averaging.
    """

    learning_rate: float = 1e-3
    heads: int = 4
    ratio: float = 4.0  # hidden units of the feed-forward block over the width

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise UsageError(f"width={self.width} does not divide into {self.heads} heads of even width.")

    def network(self, vocabulary: int) -> Attentive:
        """The untrained network."""
        return Attentive(
            Shape(
                vocabulary=vocabulary,
                width=self.width,
                depth=self.depth,
                heads=self.heads,
                hidden=int(self.width * self.ratio),
                dropout=self.dropout,
            )
        )
