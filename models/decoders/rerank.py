"""decoders/rerank: a second model rescores another decoder's n-best list."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Decoder, Meter, Setting, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._draft_model import load_beside
from harness.models.decoders._likelihood import output_logprobs
from harness.models.decoders._speculation import room
from harness.models.decoders.best_of import inner_fingerprint, prepared


@decoder(
    lossless="no",
    needs=(),
    paper="Sutskever et al. 2014, arXiv:1409.3215, section 3.7 (rescoring an n-best list)",
    differs="none",
)
class Rerank:
    """arg max over the n-best of (1 - weight) s(y) + weight log p2(y | x), s being the first decoder's own score.

    weight 0.5 is the paper's even average. Differs from the paper: none.
    """

    model: str
    inner: str = "beam:width=10,nbest=10"
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise UsageError(f"rerank: weight={self.weight} does not lie in 0..1.")

    def prepare(self, setting: Setting, target: Any) -> Decoder:
        """Load the second model, which must share the tokenizer."""
        judge = load_beside(self.model, setting, target).lm
        return Rescoring(prepared(self.inner, setting, target), judge, self.weight)

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Digests of the second model and of the inner decoder."""
        found = registry.create("model", self.model).fingerprint(setting)
        return {**inner_fingerprint(self.inner, setting), **{f"rerank.{key}": value for key, value in found.items()}}

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Only `prepare` loads the second model."""
        raise UsageError("rerank: call prepare(setting, target) first; it loads the second model.")


@final
@dataclass(frozen=True, slots=True)
class Rescoring:
    """The inner decoder and the second model."""

    inner: Decoder
    judge: TokenModel
    weight: float

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """The n-best list of each prompt in its new order; UsageError when the inner decoder gives no list."""
        found = []
        first = self.inner.decode(lm, prompts, seeds=seeds, meter=meter)
        for prompt, item in zip(prompts, first, strict=True):
            if not item.alternatives:
                raise UsageError("rerank: the inner decoder gives no n-best list; use beam with nbest=.")
            listed = [_finished(item, tokens, room(lm, prompt)) for tokens, _ in item.alternatives]
            second = [math.fsum(values) for values in output_logprobs(self.judge, prompt, listed, meter)]
            scores = [
                (1 - self.weight) * score + self.weight * other
                for (_, score), other in zip(item.alternatives, second, strict=True)
            ]
            order = sorted(range(len(scores)), key=lambda index: -scores[index])
            best = listed[order[0]]
            found.append(
                replace(
                    best,
                    accepted=(1,) * (len(best.tokens) + (best.finished == "eos")),
                    logprob=second[order[0]],
                    alternatives=tuple((item.alternatives[index][0], scores[index]) for index in order),
                )
            )
        return found


def _finished(item: Decoded, tokens: tuple[int, ...], limit: int) -> Decoded:
    """An entry of the list as an output of its own; one that is shorter than the limit came to its end token."""
    if tokens == item.tokens:
        return item
    return replace(item, tokens=tokens, finished="eos" if len(tokens) < limit else "length")
