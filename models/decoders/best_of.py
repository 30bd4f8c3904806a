"""decoders/best_of: several outputs of another decoder, of which the model's own most probable one is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Decoder, Meter, Preparing, Setting, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._likelihood import output_logprobs
from harness.models.decoders._trials import run_trials


@decoder(
    lossless="no",
    needs=(),
    paper="Stiennon et al. 2020 (best-of-n), arXiv:2009.01325, with the model as judge",
    differs="the judge is the model's own likelihood, not a reward model",
)
class BestOf:
    """arg max over n outputs y of log p(y | x) (`by=sum`) or of its mean a token (`by=mean`).

    Differs from the paper: the judge is the model's own likelihood, not a reward model.
    """

    inner: str = "sample"
    trials: int = 5
    by: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise UsageError(f"best_of: trials={self.trials}, but there must be one or more.")

    def prepare(self, setting: Setting, target: Any) -> Decoder:
        """Prepare the inner decoder."""
        return Chooser(prepared(self.inner, setting, target), self.trials, self.by)

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The inner decoder's."""
        return inner_fingerprint(self.inner, setting)

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Decode with an inner decoder that needs no preparation."""
        chooser = Chooser(registry.create("decoder", self.inner), self.trials, self.by)
        return chooser.decode(lm, prompts, seeds=seeds, meter=meter)


@final
@dataclass(frozen=True, slots=True)
class Chooser:
    """The wrapper with its inner decoder at hand."""

    inner: Decoder
    trials: int
    by: str

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """The best of `trials` outputs of each prompt; ties go to the earlier trial."""
        chosen = []
        found = run_trials(self.inner, lm, prompts, self.trials, seeds, meter)
        for index, (prompt, outputs) in enumerate(zip(prompts, found, strict=True)):
            scores = []
            for values in output_logprobs(lm, prompt, outputs, meter):
                total = math.fsum(values)
                scores.append(total / max(1, len(values)) if self.by == "mean" else total)
            best = max(range(len(outputs)), key=lambda trial: scores[trial])
            meter.emitted(index, sum(outputs[best].accepted))
            generated = sum(len(item.tokens) for item in outputs)
            chosen.append(replace(outputs[best], extra={"generated": generated, "score": scores[best]}))
        return chosen


def prepared(spec: str, setting: Setting, target: Any) -> Decoder:
    """A decoder by its spec, with the other models that it needs."""
    inner = registry.create("decoder", spec)
    made: Decoder = inner.prepare(setting, target) if isinstance(inner, Preparing) else inner
    return made


def inner_fingerprint(spec: str, setting: Setting) -> Mapping[str, str]:
    """Digests that a wrapped decoder brings to the signature."""
    inner = registry.create("decoder", spec)
    return inner.fingerprint(setting) if isinstance(inner, Preparing) else {}
