"""How probable does a model find finished outputs? Teacher forcing through the TokenModel protocol."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.api.protocols import Meter, TokenModel
from harness.api.types import Decoded, Prompt, Want


def output_logprobs(lm: TokenModel, prompt: Prompt, outputs: Sequence[Decoded], meter: Meter) -> list[list[float]]:
    """Natural-log probability of every token of each output, its end token included where it has one."""
    ended = min(lm.eos, default=-1)
    texts = [[*item.tokens, *([ended] if item.finished == "eos" and ended >= 0 else [])] for item in outputs]
    if not any(texts):
        return [[] for _ in texts]
    longest = len(prompt.tokens) + max(map(len, texts))
    state = lm.start(len(texts), longest)
    # the last token is only predicted, never read
    rows = [[*prompt.tokens, *text[:-1]] if text else [] for text in texts]
    with meter.span("score", sum(map(len, texts))):
        step = lm.step(state, rows, Want("all"))
        meter.count("model_calls")
    found = []
    for row, text in enumerate(texts):
        start = len(prompt.tokens) - 1
        logits_TV = step.logits[row, start : start + len(text)].double()
        laws = torch.log_softmax(logits_TV, -1)
        found.append([float(laws[place, token]) for place, token in enumerate(text)])
    return found
