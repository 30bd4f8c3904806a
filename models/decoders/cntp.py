"""decoders/cntp: where the model is unsure, try several continuations up to a punctuation and keep the surest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np
import torch

from harness.api.errors import UsageError
from harness.api.protocols import Meter, Setting, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._speculation import room
from harness.models.decoders._verify import Law, draw
from harness.models.decoders._warping import Warping

PUNCTUATION = ".?!:;)]}\n"  # and the comma, by parameter: the release stops at it, the paper's list does not name it


@decoder(
    version=2,
    lossless="no",
    needs=(),
    paper="Wang et al. 2025, Cautious Next Token Prediction, arXiv:2507.03038",
    differs="a trial ends where its text holds punctuation, not at certain token ids, so that merged tokens, such "
    "as a bracket with a full stop, end it too",
)
class CautiousNextToken:
    """With entropy H of the (warped) law, draw N trials to the next punctuation; keep the one of least perplexity.

    `rule=code`: N = int(1 + (Nmax - 1) clamp((H - Hmin) / (Hmax - Hmin), 0, 1)). `rule=paper` (its figure):
    N = max(1, min(Nmax, floor((H - Hmin) / (Hmax - Hmin) Nmax))). N = 1 draws one token, as plain sampling does.
    PPL = exp(mean of -ln p) with p the warped law, or the model's own with `judge=model`. Trials run as one batch.
    Differs from the paper: a trial ends where its text holds punctuation, not at certain token ids, so that merged
    tokens, such as a bracket with a full stop, end it too.
    """

    rule: Literal["code", "paper"] = "code"
    trials: int = 10  # Nmax
    low: float = 0.01  # Hmin, nats
    high: float = 1.5  # Hmax, nats
    comma: bool = True
    judge: Literal["warped", "model"] = "warped"
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.trials < 1 or not 0 <= self.low < self.high:
            raise UsageError("cntp needs trials >= 1 and 0 <= low < high.")

    def count(self, entropy: float) -> int:
        """Trials at an entropy in nats."""
        share = (entropy - self.low) / (self.high - self.low)
        if self.rule == "code":
            return int(1 + (self.trials - 1) * min(1.0, max(0.0, share)))
        return max(1, min(self.trials, math.floor(min(1.0, share) * self.trials)))

    def prepare(self, setting: Setting, target: Any) -> Cautious:
        """Learn how tokens read as text."""
        return Cautious(self, target.tokenizer.decode)

    def fingerprint(self, setting: Setting) -> dict[str, str]:
        """No other model."""
        return {}

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Only `prepare` knows how tokens read as text."""
        raise UsageError("cntp: call prepare(setting, target) first; trials end at punctuation in the text.")


@final
@dataclass(frozen=True, slots=True)
class Cautious:
    """The method with the target's text at hand."""

    method: CautiousNextToken
    text: Callable[[Sequence[int]], str]

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Continue each prompt from its own seed."""
        return [
            Walk(self, lm, prompt, seed, index, meter).run()
            for index, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True))
        ]

    def stops(self, tokens: Sequence[int]) -> bool:
        """Tell whether a trial's text holds punctuation."""
        text = self.text(tokens)
        return any(mark in text for mark in PUNCTUATION + ("," if self.method.comma else ""))


@dataclass(slots=True)
class Trial:
    """One continuation under way."""

    rng: np.random.Generator
    tokens: list[int] = field(default_factory=list)
    surprisal: float = 0.0  # nats, summed
    steps: int = 0  # the end token included
    finished: str = ""  # why the whole output ends here
    over: bool = False

    @property
    def perplexity(self) -> float:
        """Exponential of the mean surprisal."""
        return math.exp(self.surprisal / max(1, self.steps))


@final
@dataclass(slots=True)
class Walk:
    """One prompt's decoding."""

    cautious: Cautious
    lm: TokenModel
    prompt: Prompt
    seed: int
    index: int
    meter: Meter
    out: list[int] = field(default_factory=list)
    finished: str = ""
    calls: int = 0
    generated: int = 0

    def run(self) -> Decoded:
        """Step, or branch and choose, until an end."""
        method = self.cautious.method
        warping = Warping(method.temperature, method.top_k, method.top_p)
        limit = room(self.lm, self.prompt)
        if limit <= 0:
            return Decoded(())
        rng = np.random.default_rng(self.seed)
        state: Any = self.lm.start(1, len(self.prompt.tokens) + limit + 1)
        state, logits = self._step(state, [list(self.prompt.tokens)], "prefill")
        while not self.finished:
            law = warping(logits[0]).cpu().numpy()
            trials = method.count(_entropy(law))
            if trials == 1:
                kept = Trial(rng)
                self._extend(kept, law, law if method.judge == "warped" else _law(logits[0]), limit, single=True)
            else:
                state, kept = self._branch(state, logits, trials, warping, limit)
            self.out += kept.tokens
            self.finished = kept.finished
            self.meter.emitted(self.index, kept.steps)
            if not self.finished:
                state, logits = self._step(state, [kept.tokens[-1:]], "decode")
        cost = self.generated / max(1, len(self.out))
        return Decoded(
            tuple(self.out),
            (1,) * (len(self.out) + (self.finished == "eos")),
            self.calls,
            finished=self.finished,
            extra={"generated": self.generated, "cost": cost},
        )

    def _branch(self, state: Any, logits: Any, count: int, warping: Warping, limit: int) -> tuple[Any, Trial]:
        """Run `count` trials as rows of one batch; hand back the state of the chosen one, less its last token."""
        start = self.lm.length(state)[0]
        # trials never share numbers with each other or with the single steps: a list of entropy is padded with zeros,
        # so that [seed, 0, 0] would be the seed alone, which a spawn key is not
        keys = [(len(self.out), trial) for trial in range(count)]
        trials = [Trial(np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))) for key in keys]
        state = self.lm.select(state, [0] * count)
        logits = logits.expand(count, -1)
        while True:
            laws = warping(logits).cpu().numpy()
            own = laws if self.cautious.method.judge == "warped" else torch.softmax(logits.double(), -1).cpu().numpy()
            for row, trial in enumerate(trials):
                if not trial.over:
                    self._extend(trial, laws[row], own[row], limit)
            if all(trial.over for trial in trials):
                break
            state, logits = self._step(state, [[] if trial.over else trial.tokens[-1:] for trial in trials], "decode")
        best = min(range(count), key=lambda row: trials[row].perplexity)
        state = self.lm.select(state, [best])
        return self.lm.rewind(state, [start + max(0, len(trials[best].tokens) - 1)]), trials[best]

    def _extend(self, trial: Trial, law: Law, judge: Law, limit: int, single: bool = False) -> None:
        token = draw(law, trial.rng)
        trial.steps += 1
        self.generated += 1
        trial.surprisal -= math.log(max(float(judge[token]), 1e-300))
        if token in self.lm.eos:
            trial.finished = "eos"
        else:
            trial.tokens.append(token)
            whole = [*self.out, *trial.tokens]
            if self.prompt.finished is not None and self.prompt.finished(whole):
                trial.finished = "stop"
            elif len(whole) >= limit:
                trial.finished = "length"
        trial.over = single or bool(trial.finished) or self.cautious.stops(trial.tokens)

    def _step(self, state: Any, tokens: list[list[int]], phase: str) -> tuple[Any, Any]:
        with self.meter.span(phase, sum(map(len, tokens))):
            step = self.lm.step(state, tokens)
            self.meter.count("model_calls")
        self.calls += 1
        return step.state, step.logits[:, -1]


def _entropy(law: Law) -> float:
    positive = law[law > 0]
    return float(-(positive * np.log(positive)).sum())


def _law(logits: torch.Tensor) -> Law:
    law: Law = torch.softmax(logits.double(), -1).cpu().numpy()
    return law
