"""How are many prompts continued one token at a time? Continuous batching for every rule that picks a single token.

A row whose prompt is finished is rewound and given the next one, so that a long answer never holds up a batch. What a
row receives depends on its own prompt and seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from harness.api.protocols import Meter, TokenModel
from harness.api.types import Decoded, Prompt

# R rows, V vocabulary

# rows decoded together, and cache slots that they may hold (750 MB for SmolLM2-135M in fp32)
ROWS = 32
SLOTS = 16_384
# prompt tokens encoded in one call
PREFILL_TOKENS = 4_096


def stepwise(
    lm: TokenModel, prompts: Sequence[Prompt], pick: Callable[[Tensor, Sequence[int]], list[int]], meter: Meter
) -> list[Decoded]:
    """Continue each prompt; `pick(logits_RV, prompt numbers)` chooses each row's next token."""
    limits = [min(prompt.max_new_tokens, lm.context_length - len(prompt.tokens)) for prompt in prompts]
    out: list[list[int]] = [[] for _ in prompts]
    ends = ["length"] * len(prompts)
    queue = [index for index, limit in enumerate(limits) if limit > 0 and prompts[index].tokens]
    # longest first, so that rows of one batch finish at about the same length
    queue.sort(key=lambda index: -(len(prompts[index].tokens) + limits[index]))
    if not queue:
        return [_decoded(tokens, end) for tokens, end in zip(out, ends, strict=True)]
    capacity = len(prompts[queue[0]].tokens) + limits[queue[0]]
    rows = max(1, min(ROWS, len(queue), SLOTS // capacity))
    state = lm.start(rows, capacity)
    owners: list[int] = [-1] * rows  # which prompt a row holds
    last = [0] * rows

    def settle(logits_RV: Tensor, chosen: Sequence[int]) -> None:
        tokens = pick(logits_RV, [owners[row] for row in chosen])
        for row, token in zip(chosen, tokens, strict=True):
            owner = owners[row]
            last[row] = token
            meter.emitted(owner, 1)
            if token in lm.eos:
                ends[owner] = "eos"
            else:
                out[owner].append(token)
                done = prompts[owner].finished
                if done is not None and done(out[owner]):
                    ends[owner] = "stop"
                elif len(out[owner]) < limits[owner]:
                    continue
            owners[row] = -1

    while True:
        while queue and -1 in owners:
            state = _admit(lm, state, prompts, queue, owners, settle, meter)
        if -1 in owners:
            kept = [row for row, owner in enumerate(owners) if owner >= 0]
            if not kept:
                return [_decoded(tokens, end) for tokens, end in zip(out, ends, strict=True)]
            state = lm.select(state, kept)
            owners, last = [owners[row] for row in kept], [last[row] for row in kept]
        with meter.span("decode", tokens=len(owners)):
            step = lm.step(state, [[token] for token in last])
            state = step.state
            meter.count("model_calls")
            settle(step.logits[:, 0], range(len(owners)))


def _admit(
    lm: TokenModel,
    state: Any,
    prompts: Sequence[Prompt],
    queue: list[int],
    owners: list[int],
    settle: Callable[[Tensor, Sequence[int]], None],
    meter: Meter,
) -> Any:
    """Give free rows the next prompts, as many as one call may encode."""
    free = [row for row, owner in enumerate(owners) if owner < 0]
    state = lm.rewind(state, [0 if owners[row] < 0 else kept for row, kept in enumerate(lm.length(state))])
    new: list[tuple[int, ...]] = [()] * len(owners)
    taken: list[int] = []
    total = 0
    while free and queue and (not taken or total + len(prompts[queue[0]].tokens) <= PREFILL_TOKENS):
        row, owner = free.pop(0), queue.pop(0)
        owners[row], new[row] = owner, prompts[owner].tokens
        total += len(new[row])
        taken.append(row)
    with meter.span("prefill", tokens=total):
        step = lm.step(state, new)
        meter.count("model_calls")
        settle(step.logits[taken, 0], taken)
    return step.state


def _decoded(tokens: Sequence[int], end: str) -> Decoded:
    calls = len(tokens) + (end == "eos")
    return Decoded(tuple(tokens), (1,) * calls, calls, 0, end)
