"""decoders/self_consistency: several sampled outputs, of which the commonest answer is kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from harness.api.errors import UsageError
from harness.api.protocols import Decoder, Meter, Setting, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._trials import run_trials
from harness.models.decoders.best_of import inner_fingerprint, prepared

NUMBER = r"-?\d[\d,]*(?:\.\d+)?"  # the last number of the text, as GSM8K is graded


@decoder(
    lossless="no",
    needs=(),
    paper="Wang et al. 2022, Self-Consistency, arXiv:2203.11171",
    differs="unweighted votes (its own best variant)",
)
class SelfConsistency:
    """Sample n outputs, read each one's answer (the last match of `pattern`), return an output of the majority.

    Outputs without an answer do not vote, unless none has one. Ties go to the answer seen first.
    Differs from the paper: unweighted votes (its own best variant).
    """

    inner: str = "sample:temperature=0.7"
    trials: int = 40
    pattern: str = NUMBER

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise UsageError(f"self_consistency: trials={self.trials}, but there must be one or more.")
        try:
            re.compile(self.pattern)
        except re.error as problem:
            raise UsageError(
                f"self_consistency: pattern={self.pattern!r} is no regular expression: {problem}."
            ) from None

    def prepare(self, setting: Setting, target: Any) -> Decoder:
        """Prepare the inner decoder and learn how tokens read as text."""
        return Voter(prepared(self.inner, setting, target), self.trials, self.pattern, target.tokenizer.decode)

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The inner decoder's."""
        return inner_fingerprint(self.inner, setting)

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Only `prepare` knows how tokens read as text."""
        raise UsageError("self_consistency: call prepare(setting, target) first; answers are read from text.")


@final
@dataclass(frozen=True, slots=True)
class Voter:
    """The wrapper with its inner decoder and the target's text at hand."""

    inner: Decoder
    trials: int
    pattern: str
    text: Callable[[Sequence[int]], str]

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """An output with the majority's answer for each prompt."""
        chosen = []
        for index, outputs in enumerate(run_trials(self.inner, lm, prompts, self.trials, seeds, meter)):
            answers = [self._answer(item) for item in outputs]
            votes: Counter[str | None] = Counter(answer for answer in answers if answer is not None) or Counter(answers)
            winner, count = votes.most_common(1)[0]
            generated = sum(len(item.tokens) for item in outputs)
            extra = {"generated": generated, "agreement": count / self.trials}
            kept = outputs[answers.index(winner)]
            meter.emitted(index, sum(kept.accepted))
            chosen.append(replace(kept, extra=extra))
        return chosen

    def _answer(self, item: Decoded) -> str | None:
        matches = re.findall(self.pattern, self.text(item.tokens))
        return str(matches[-1]).replace(",", "") if matches else None
