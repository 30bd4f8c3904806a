"""What does an int8 variant cost and give on WikiText-2? Agreement, perplexity, speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from engine_rows._bench import METER, Bench, Outcome, endless, lines
from harness.api.types import Generate, Want
from harness.models.decoders.greedy import Greedy
from harness.models.lms._text import TextModel


def int8(bench: Bench, weights: str) -> Outcome:
    """What an int8 variant costs and gives on WikiText-2: arg-max agreement with float32, perplexity, tokens/s."""
    text = "\n".join(lines("lm_text/wikitext2_test.txt.gz"))[: 1200 * bench.examples]
    exact, rounded = bench.ours(), bench.ours("auto", weights)
    ids = exact.tokenizer.encode(text)[0]
    ids = ids[: len(ids) // 512 * 512]
    agree, nats = 0, [0.0, 0.0]
    for first in range(0, len(ids), 512):
        part = ids[first : first + 512]
        logits = [
            model.lm.step(model.lm.start(1, 512), [part], Want("all")).logits[0, :-1] for model in (exact, rounded)
        ]
        agree += int((logits[0].argmax(-1) == logits[1].argmax(-1)).sum())
        for side, values in enumerate(logits):
            nats[side] += float(F.cross_entropy(values, torch.tensor(part[1:]), reduction="sum"))
    count = len(ids) // 512 * 511
    before, after = (float(np.exp(total / count)) for total in nats)
    work = [f"The history of the number {n} begins" for n in range(bench.rounds)]

    def continued(model: TextModel) -> Callable[[str], Any]:
        model = endless(model)
        return lambda prompt: model.generate([Generate(prompt, 24)], decoder=Greedy(), seeds=[0], meter=METER)

    speed = bench.compare("int8", work, continued(rounded), continued(exact), "")
    dtype = rounded.facts["dtype"]
    note = f"in {dtype}; perplexity {before:.3f} -> {after:.3f}; decoding {speed.ratio:.2f}x of float32; {count} tokens"
    return Outcome(weights, f"{agree / count:.2%} agree", wanted="> 97%" if weights == "int8" else "", note=note)


ROWS = {
    "int8": lambda bench: int8(bench, "int8"),
    "int8-rows": lambda bench: int8(bench, "int8-rows"),
}
