"""embedders/mean_pool: the mean of a causal language model's hidden states."""

from __future__ import annotations

from collections.abc import Mapping

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.embedders._causal import fingerprint, put_up
from harness.models.embedders._vectors import EncoderModel


@model(
    doors=("embed",),
    paper="Reimers, Gurevych 2019, arXiv:1908.10084 (mean pooling)",
    licence="the language model's own",
    differs="a causal model in place of BERT",
)
class MeanPool:
    """Mean over all tokens of the hidden states of one layer of `lm`.

    Differs from the paper: a causal model in place of BERT.
    """

    lm: str = "lms/smollm2"
    layer: int = -1  # 0 is the token embedding, n the output of layer n, -1 the final norm

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The language model's digests."""
        return fingerprint(self.lm, setting)

    def load(self, setting: Setting) -> EncoderModel:
        """Put the language model up."""
        return put_up(self.lm, setting, pooling="mean", layer=self.layer)
