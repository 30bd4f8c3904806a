"""embedders/last_token: a causal language model's hidden state at the last token of the text."""

from __future__ import annotations

from collections.abc import Mapping

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.embedders._causal import fingerprint, put_up
from harness.models.embedders._vectors import EncoderModel


@model(
    doors=("embed",),
    paper="Neelakantan et al. 2022, Text and Code Embeddings by Contrastive Pre-Training, arXiv:2201.10005",
    licence="the language model's own",
    differs="no contrastive training",
)
class LastToken:
    """The hidden state of one layer of `lm` at the last token, the only one that has seen the whole text.

    Differs from the paper: no contrastive training.
    """

    lm: str = "lms/smollm2"
    layer: int = -1  # 0 is the token embedding, n the output of layer n, -1 the final norm

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The language model's digests."""
        return fingerprint(self.lm, setting)

    def load(self, setting: Setting) -> EncoderModel:
        """Put the language model up."""
        return put_up(self.lm, setting, pooling="last", layer=self.layer)
