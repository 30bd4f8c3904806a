"""decoders/exact_mode: the single most probable output, by depth-first branch and bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, final

import torch

from harness.api.errors import HarnessError, UsageError
from harness.api.protocols import Meter, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._beam import Guide
from harness.models.decoders._speculation import room
from harness.models.decoders.conditional_beam import Between


@decoder(
    lossless="no",
    needs=(),
    paper="Stahlberg & Byrne 2019, arXiv:1908.10090; Yoshida et al. 2023, arXiv:2311.08817",
    differs="none",
)
class ExactMode:
    """arg max_Y P(Y | X), over all outputs or over those of a given length, without missing any.

    Depth first, likeliest token first; a branch is cut when its log-probability is no better than the best finished
    output. `calls` bounds the model calls a prompt, and a search that hits it says so by failing: an unproven mode is
    not returned as one.
    Differs from the paper: none.
    """

    attribute: Literal["any", "length"] = "any"
    shortest: int = 0  # tokens, for attribute=length
    longest: int = 1_000_000  # tokens
    calls: int = 100_000

    def __post_init__(self) -> None:
        if self.calls < 1 or not 0 <= self.shortest <= self.longest:
            raise UsageError("exact_mode needs calls >= 1 and 0 <= shortest <= longest.")

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Search each prompt in turn; HarnessError when the bound on calls is reached."""
        guide = Between(self.shortest, self.longest) if self.attribute == "length" else None
        found = []
        for index, prompt in enumerate(prompts):
            search = Search(lm, prompt, guide, self.calls, meter)
            found.append(search.run())
            meter.emitted(index, len(found[-1].tokens))
        return found


@final
@dataclass(slots=True)
class Search:
    """One prompt's branch and bound; the cache is rewound as the search backs up."""

    lm: TokenModel
    prompt: Prompt
    guide: Guide | None
    allowed: int
    meter: Meter
    state: Any = None
    calls: int = 0
    best: float = -math.inf
    output: tuple[int, ...] | None = None
    finished: str = ""
    path: list[int] = field(default_factory=list)

    def run(self) -> Decoded:
        """The mode and its log-probability."""
        limit = room(self.lm, self.prompt)
        if limit <= 0:
            return Decoded((), finished="length", logprob=0.0)
        self.state = self.lm.start(1, len(self.prompt.tokens) + limit)
        self._visit(list(self.prompt.tokens), 0.0, limit)
        if self.output is None:
            raise HarnessError("exact_mode: no output has the attribute within the limit on new tokens.")
        ended = self.finished == "eos"
        return Decoded(
            self.output, (1,) * (len(self.output) + ended), self.calls, finished=self.finished, logprob=self.best
        )

    def _visit(self, new: list[int], logprob: float, limit: int) -> None:
        self.calls += 1
        if self.calls > self.allowed:
            raise HarnessError(f"exact_mode: {self.allowed} model calls did not prove a mode; raise calls=.")
        with self.meter.span("decode"):
            step = self.lm.step(self.state, [new])
            self.meter.count("model_calls")
        self.state = step.state
        here = self.lm.length(self.state)[0]
        values, tokens = torch.log_softmax(step.logits[0, -1].double(), -1).sort(descending=True, stable=True)
        for value, token in zip(values.tolist(), tokens.tolist(), strict=True):
            if logprob + value <= self.best:
                break
            self._try(token, logprob + value, limit)
            self.state = self.lm.rewind(self.state, [here])

    def _try(self, token: int, logprob: float, limit: int) -> None:
        if token in self.lm.eos:
            self._finish("eos", logprob)
            return
        self.path.append(token)
        if self.prompt.finished is not None and self.prompt.finished(self.path):
            self._finish("stop", logprob)
        elif len(self.path) >= limit:
            self._finish("length", logprob)
        elif self.guide is None or self.guide(self.prompt, self.path, "") == 0.0:
            self._visit([token], logprob, limit)
        self.path.pop()

    def _finish(self, how: str, logprob: float) -> None:
        if self.guide is None or self.guide(self.prompt, self.path, how) == 0.0:
            self.best, self.output, self.finished = logprob, tuple(self.path), how
