"""How does a beam search run? One engine for every beam: live hypotheses are rows, finished ones leave their slot.

A finished hypothesis keeps its place out of the beam (Sutskever et al. 2014), so width 1 is greedy search whatever the
scoring, and a width that never prunes finds the exact mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api.protocols import Meter, TokenModel
from harness.api.types import Prompt, Want
from harness.models.decoders._speculation import room

# R rows (live hypotheses of all prompts), S source positions, V vocabulary


@dataclass(frozen=True, slots=True)
class Scoring:
    """s(Y, X) = log P(Y | X) / lp(Y) + cp(X; Y).

    lp = ((5 + |Y|) / 6)^alpha; cp = beta * sum_i log min(sum_j p_ij, 1) over source positions i and attention p_ij.
    |Y| counts the end token. A zero coverage is held at 1e-10, so that the score stays finite. `prune` drops tokens
    that many nats below the step's best and, once something has finished, hypotheses that far below its score.
    Paper: Wu et al. 2016, arXiv:1609.08144, equation 14.
    """

    alpha: float = 0.0
    beta: float = 0.0
    prune: float = math.inf  # nats; 3.0 in the paper

    def length_penalty(self, length: int) -> float:
        """lp(Y) for |Y| = length."""
        return float(((5.0 + length) / 6.0) ** self.alpha)

    def coverage_penalty(self, coverage_S: NDArray[np.float64] | None) -> float:
        """cp(X; Y); zero for a model without source attention."""
        if coverage_S is None or self.beta == 0:
            return 0.0
        return self.beta * float(np.log(np.clip(coverage_S, 1e-10, 1.0)).sum())


@dataclass(slots=True)
class Hypothesis:
    """A prefix or a finished output."""

    tokens: tuple[int, ...]
    logprob: float = 0.0  # of all tokens, the end token included
    steps: int = 0  # |Y|, the end token included
    coverage_S: NDArray[np.float64] | None = None
    guide: float = 0.0  # log P(attribute | prefix), for guided searches
    score: float = -math.inf
    finished: str = ""


class Guide(Protocol):
    """Log-probability that a prefix will end in an output with the wanted attribute."""

    def __call__(self, prompt: Prompt, tokens: Sequence[int], finished: str) -> float:
        """At most 0; `finished` is empty while the output goes on."""
        ...


@dataclass(slots=True)
class Beam:
    """One prompt's search."""

    prompt: Prompt
    limit: int
    width: int  # slots left
    nbest: int  # finished outputs wanted
    live: list[Hypothesis]
    done: list[Hypothesis] = field(default_factory=list)
    calls: int = 0


def beam_search(
    lm: TokenModel,
    prompts: Sequence[Prompt],
    width: int,
    scoring: Scoring,
    *,
    meter: Meter,
    guide: Guide | None = None,
    nbest: int = 1,
) -> list[Beam]:
    """Search for every prompt; `done` is sorted, best score first. A hypothesis cut at the limit competes as it is."""
    beams = [Beam(prompt, room(lm, prompt), width, nbest, [Hypothesis(())]) for prompt in prompts]
    for beam in beams:
        if beam.limit <= 0:
            beam.live, beam.done = [], [Hypothesis((), score=0.0, finished="length")]
    attends = bool(getattr(lm, "cross_attention", False)) and scoring.beta != 0
    want = Want("last", attention=(-1,) if attends else ())
    capacity = max((len(beam.prompt.tokens) + beam.limit for beam in beams), default=1)
    state: Any = lm.start(len(beams), max(1, capacity))
    tokens = [list(beam.prompt.tokens) if beam.live else [] for beam in beams]
    owners = list(range(len(beams)))
    phase = "prefill"
    while any(beam.live for beam in beams):
        with meter.span(phase, sum(map(len, tokens))):
            step = lm.step(state, tokens, want)
            meter.count("model_calls")
        phase = "decode"
        logprobs_RV = _logprobs(step.logits)
        cover = step.attention[-1][:, :, -1].mean(1).double().cpu().numpy() if attends else None
        sources, tokens, owners = _advance(beams, owners, logprobs_RV, cover, scoring, guide, lm, meter)
        state = lm.select(step.state, sources)
    for beam in beams:
        # stable: among equal scores the one found first wins, as in greedy search
        beam.done.sort(key=lambda item: -item.score)
    return beams


def _advance(
    beams: Sequence[Beam],
    owners: Sequence[int],
    logprobs_RV: Tensor,
    cover: NDArray[np.float64] | None,
    scoring: Scoring,
    guide: Guide | None,
    lm: TokenModel,
    meter: Meter,
) -> tuple[list[int], list[list[int]], list[int]]:
    sources: list[int] = []
    tokens: list[list[int]] = []
    after: list[int] = []
    for owner, beam in enumerate(beams):
        rows = [row for row, name in enumerate(owners) if name == owner]
        if not beam.live:
            continue
        beam.calls += 1
        chosen = _candidates(beam, rows, logprobs_RV, scoring, guide, lm)
        survivors: list[tuple[int, int, Hypothesis]] = []
        for row, token, hypothesis in chosen:
            if cover is not None:
                old = beam.live[rows.index(row)].coverage_S
                hypothesis.coverage_S = cover[row] + (0.0 if old is None else old)
            if hypothesis.finished:
                hypothesis.score = _score(hypothesis, scoring)
                beam.done.append(hypothesis)
                beam.width -= 1
            else:
                survivors.append((row, token, hypothesis))
        survivors = _promising(survivors, beam, scoring)
        beam.live = [hypothesis for _, _, hypothesis in survivors]
        sources += [row for row, _, _ in survivors]
        tokens += [[token] for _, token, _ in survivors]
        after += [owner] * len(survivors)
        meter.emitted(owner, 1)
    return sources, tokens, after


def _candidates(
    beam: Beam, rows: Sequence[int], logprobs_RV: Tensor, scoring: Scoring, guide: Guide | None, lm: TokenModel
) -> list[tuple[int, int, Hypothesis]]:
    before = torch.tensor([item.logprob for item in beam.live], dtype=torch.float64, device=logprobs_RV.device)
    local_RV = logprobs_RV[list(rows)]
    if scoring.prune < math.inf:
        local_RV = local_RV.masked_fill(local_RV < local_RV.max() - scoring.prune, -math.inf)
    totals = (before[:, None] + local_RV).flatten()
    # a guide may promote a candidate from below the beam, so it is shown twice as many
    count = min(beam.width * (2 if guide else 1), totals.numel())
    values, places = totals.topk(count)
    found = []
    for value, place in zip(values.tolist(), places.tolist(), strict=True):
        if value == -math.inf:
            break
        parent, token = beam.live[place // local_RV.shape[1]], place % local_RV.shape[1]
        found.append((rows[place // local_RV.shape[1]], token, _extend(beam, parent, token, value, lm, guide)))
    found.sort(key=lambda item: -(item[2].logprob + item[2].guide))
    return found[: beam.width]


def _extend(
    beam: Beam, parent: Hypothesis, token: int, logprob: float, lm: TokenModel, guide: Guide | None
) -> Hypothesis:
    ended = token in lm.eos
    tokens = parent.tokens if ended else (*parent.tokens, token)
    finished = "eos" if ended else ""
    if not ended and beam.prompt.finished is not None and beam.prompt.finished(tokens):
        finished = "stop"
    elif not ended and len(tokens) >= beam.limit:
        finished = "length"
    belief = guide(beam.prompt, tokens, finished) if guide else 0.0
    return Hypothesis(tokens, logprob, parent.steps + 1, parent.coverage_S, belief, finished=finished)


def _score(item: Hypothesis, scoring: Scoring) -> float:
    return (item.logprob + item.guide) / scoring.length_penalty(item.steps) + scoring.coverage_penalty(item.coverage_S)


def _promising(
    survivors: list[tuple[int, int, Hypothesis]], beam: Beam, scoring: Scoring
) -> list[tuple[int, int, Hypothesis]]:
    """Drop what cannot win any more: a log-probability only falls, and no length divides it by more than the last."""
    if beam.width <= 0:
        return []
    if not beam.done:
        return survivors
    scores = sorted((item.score for item in beam.done), reverse=True)
    best, kept = scores[0], survivors
    if len(scores) >= beam.nbest:
        longest = scoring.length_penalty(beam.limit) if scoring.alpha > 0 else 1.0
        kept = [entry for entry in survivors if entry[2].logprob / longest > scores[beam.nbest - 1]]
    if scoring.prune < math.inf:
        kept = [entry for entry in kept if _score(entry[2], scoring) >= best - scoring.prune]
    return kept


def _logprobs(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits[:, -1].double(), -1)
