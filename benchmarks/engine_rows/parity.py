"""Greedy ids and log-probabilities against transformers' own forward pass."""

from __future__ import annotations

import torch

from engine_rows._bench import METER, Bench, Outcome, lines
from harness.api.types import Generate, Generated, Score, Scored
from harness.models.decoders.greedy import Greedy


def parity(bench: Bench) -> Outcome:
    """Greedy ids against `generate`, log-probabilities against a forward pass, on --examples prompts."""
    model, network = bench.ours(), bench.theirs()
    text = [line for line in lines("lm_text/wikitext2_test.txt.gz") if len(line) > 300][: bench.examples]
    same, ties, wrong, largest = 0, 0, 0, 0.0
    answers = model.generate(
        [Generate(line[:80], 32) for line in text], decoder=Greedy(), seeds=[0] * len(text), meter=METER
    )
    for line, answer in zip(text, answers, strict=True):
        assert isinstance(answer, Generated), answer
        ids = torch.tensor([model.tokenizer.encode(line[:80])[0]])
        out = network.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=32, do_sample=False)
        expected = [token for token in out[0, ids.shape[1] :].tolist() if token not in model.lm.eos]
        if list(answer.tokens) == expected:
            same += 1
            continue
        differ = next(i for i, pair in enumerate(zip(answer.tokens, expected, strict=False)) if pair[0] != pair[1])
        with torch.no_grad():
            top = network(out[:, : ids.shape[1] + differ]).logits[0, -1].topk(2).values
        ties, wrong = (ties + 1, wrong) if float(top[0] - top[1]) < 1e-4 else (ties, wrong + 1)
    for line in text:
        scored = model.score([Score(line[:80], line[80:300])], meter=METER)[0]
        assert isinstance(scored, Scored), scored
        before, after, _ = model.pair(line[:80], line[80:300])
        with torch.no_grad():
            law = network(torch.tensor([before + after])).logits[0].log_softmax(-1)
        expected_logprobs = law[range(len(before) - 1, len(before) + len(after) - 1), after]
        largest = max(largest, float((torch.tensor(scored.logprobs) - expected_logprobs).abs().max()))
    note = f"{ties} ties below a margin of 1e-4, {wrong} wrong; largest log-probability difference {largest:.1e}"
    return Outcome("parity", f"{same} of {len(text)} identical", wanted="all, <= 1e-4", note=note)


ROWS = {"parity": parity}
