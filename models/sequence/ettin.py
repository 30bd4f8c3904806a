"""sequence/ettin: one shape for an encoder and a decoder, of which the mask alone differs."""

from __future__ import annotations

from harness.api.registry import model
from harness.models.sequence._backbone import Backbone, Shape
from harness.models.sequence._banded import WindowAttention
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site
from harness.models.sequence.transformer import Attention


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Weller et al. 2025, Ettin, arXiv:2507.11412",
    differs="one rotary base for local and global layers, and the common MLP rather than a gated one",
)
class Ettin(SequenceModel):
    """ModernBERT's layers, every third global and the others local, with rotary positions; `causal` sets the mask.

    The two models have the same parameters in the same order: weights of one load into the other (`stack`), which is
    how training goes on under the other objective (`_objectives`).
    Differs from the paper: one rotary base for local and global layers, and the common MLP rather than a gated one.
    """

    heads: int = 4
    window: int = 128  # tokens that a local layer sees around it, or behind it when causal
    every: int = 3  # layers from one global one to the next
    causal: bool = True

    def mixer(self, site: Site) -> Mixer:
        """The layer of this depth."""
        causal = self.causal or site.causal
        if site.layer % self.every == 0:
            return Attention(site, self.heads, "rotary", causal)
        return WindowAttention(site.width, self.heads, self.window, causal=causal)

    def stack(self, shape: Shape, like: Backbone | None = None) -> Backbone:
        """A network under this model's mask, with a copy of the weights of `like`, whatever mask that one has."""
        made = Backbone(shape, lambda layer: self.mixer(Site(shape.width, layer, shape.depth)))
        if like is not None:
            made.load_state_dict(like.state_dict())
        return made
