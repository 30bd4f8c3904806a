"""Greedy generation against transformers' `generate`: one prompt, and sixty-four."""

from __future__ import annotations

from dataclasses import replace

import torch

from engine_rows._bench import METER, Bench, Outcome, bandwidth, endless
from harness.api.types import Generate, Generated
from harness.models.decoders.greedy import Greedy


def decode(bench: Bench, dtype: str) -> Outcome:
    """Greedy, batch 1, 128 tokens, against `generate`; and against the floor of reading every weight once a token."""
    model, network = bench.ours(dtype), bench.theirs(dtype)
    tokens = bench.tokens or 128

    def ours(prompt: str) -> tuple[int, ...]:
        answer = model.generate([Generate(prompt, tokens)], decoder=Greedy(), seeds=[0], meter=METER)[0]
        assert isinstance(answer, Generated), answer
        return answer.tokens

    def theirs(prompt: str) -> list[int]:
        ids = torch.tensor([model.tokenizer.encode(prompt)[0]])
        out = network.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, eos_token_id=None
        )
        return list(out[0].tolist()[ids.shape[1] :])

    model = endless(model)
    prompts = [f"The history of the number {n} begins" for n in range(bench.rounds)]
    outcome = bench.compare(f"decode-{dtype}", prompts, ours, theirs, ">= 2x, within 30% of the floor")
    rate = tokens / float(outcome.ours.split()[0])
    size = model.facts["parameters"] * (2 if dtype == "bfloat16" else 4)
    floor = bandwidth(size, getattr(torch, dtype)) / size
    note = f"{rate:.1f} tokens/s; floor {floor:.1f} at {floor * size / 1e9:.1f} GB/s measured: {rate / floor:.0%}"
    return replace(outcome, note=note)


def generate64(bench: Bench) -> Outcome:
    """64 prompts of mixed length, 48 tokens each, against `generate` padded on the left."""
    model, network = endless(bench.ours()), bench.theirs()
    words = ["time", "people", "way", "water", "day", "part", "place", "work"]
    prompts = [f"Tell me about the {words[i % 8]} " + "and more " * (i % 9) for i in range(64)]
    tokens = bench.tokens or 48
    encoded = sorted((model.tokenizer.encode(prompt)[0] for prompt in prompts), key=len)

    def ours(_: int) -> None:
        model.generate([Generate(prompt, tokens) for prompt in prompts], decoder=Greedy(), seeds=[0] * 64, meter=METER)

    def theirs(size: int, some: list[list[int]] = encoded) -> None:
        for start in range(0, len(some), size):
            part = some[start : start + size]
            longest = max(map(len, part))
            ids = torch.tensor([[0] * (longest - len(row)) + row for row in part])
            mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in part])
            network.generate(
                ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=0
            )

    best = bench.best_batch(lambda size: theirs(size, encoded[::2])) if len(bench.batches) > 1 else bench.batches[0]
    outcome = bench.compare("generate64", range(bench.rounds), ours, lambda _: theirs(best), ">= 2x")
    return replace(outcome, note=f"generate's best batch {best}")


ROWS = {
    "decode-fp32": lambda bench: decode(bench, "float32"),
    "decode-bf16": lambda bench: decode(bench, "bfloat16"),
    "generate64": generate64,
}
