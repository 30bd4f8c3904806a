"""decoders/recursive_speculative: draft trees whose siblings are drawn without replacement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from harness.api.errors import UsageError
from harness.api.protocols import Meter, Setting, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._draft_model import load_draft
from harness.models.decoders._drafted_tree import Plan
from harness.models.decoders._warping import Warping
from harness.models.decoders.speculative import Bound, draft_fingerprint


@decoder(
    lossless="law",
    needs=("tree",),
    paper="Jeon et al. 2024, Recursive Speculative Decoding, arXiv:2402.14160",
    differs="at temperature 0 the noise is left out and the tree holds the likeliest children",
)
class RecursiveSpeculative:
    """Siblings come from Gumbel-top-k and are verified by recursive rejection sampling, so the target's law is kept.

    `tree=constant` (RSD-C): widths b_1+b_2+..., each node of level l gets b_l children, in the order of the draw.
    `tree=beam` (RSD-S): stochastic beam search, widths W+W+... (equal), W nodes on each level. `tree=independent`:
    K chains drawn with replacement, verified recursively: the SpecTr-like baseline.
    Differs from the paper: at temperature 0 the noise is left out and the tree holds the likeliest children.
    """

    draft: str = "ngram"
    tree: Literal["constant", "beam", "independent"] = "beam"
    widths: tuple[int, ...] = (3, 3, 3)
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise UsageError(f"recursive_speculative: widths={self.widths}, but each level needs one child or more.")
        if self.tree != "constant" and len(set(self.widths)) > 1:
            raise UsageError(f"recursive_speculative: tree={self.tree} needs equal widths, not {self.widths}.")

    def prepare(self, setting: Setting, target: Any) -> Bound:
        """Load the draft for a loaded target."""
        warping = Warping(self.temperature, self.top_k, self.top_p)
        draft = load_draft(self.draft, setting, target)
        return Bound(draft.lm, Plan(self.tree, self.widths), warping, share=draft.share)

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """As for plain speculative decoding."""
        return draft_fingerprint(self.draft, setting)

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Only `prepare` knows the draft."""
        raise UsageError("recursive_speculative: call prepare(setting, target) first; it loads the draft.")
