"""embedders/averaged: the mean of a language model's input embeddings, words without order or context."""

from __future__ import annotations

from collections.abc import Mapping

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.embedders._causal import fingerprint, put_up
from harness.models.embedders._vectors import EncoderModel


@model(
    doors=("embed",),
    paper="Arora et al. 2017, A Simple but Tough-to-Beat Baseline for Sentence Embeddings (the unweighted row)",
    licence="the language model's own",
    differs="the input embeddings of a language model in place of GloVe: no external vectors travel with the project",
)
class Averaged:
    """Mean of the token embeddings (layer 0) of `lm`: a bag of word pieces.

    Arora et al. 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings" (the unweighted row).
    Differs from the paper: the input embeddings of a language model in place of GloVe.
    """

    lm: str = "lms/smollm2"

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The language model's digests."""
        return fingerprint(self.lm, setting)

    def load(self, setting: Setting) -> EncoderModel:
        """Put the language model up."""
        return put_up(self.lm, setting, pooling="mean", layer=0)
