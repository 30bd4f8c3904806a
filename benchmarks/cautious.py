"""Does Cautious Next Token Prediction write surer text, and more right answers, than plain sampling at T = 1.2?

    python benchmarks/cautious.py --prompts 12 --tokens 60 --problems 200

Two parts: mean log-probability per token of SmolLM2's continuations at equal length (paired over prompts), and the
accuracy of a small language model trained here on worked additions (paired over problems). Cost is generated over
emitted tokens.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from harness import sources
from harness.api import registry
from harness.api.protocols import Preparing, Setting, SilentMeter
from harness.api.types import Prompt
from harness.models.decoders._likelihood import output_logprobs

METER = SilentMeter()
OPENINGS = """The best way to learn a new language is
In the morning the old harbour
A good scientist always
My grandmother used to say that
The city was founded in
Water boils when
The main reason for the delay was
She opened the letter and
Computers can now
The recipe begins with
After the storm
The committee decided""".splitlines()


def decoder(spec: str, setting: Setting, model: Any) -> Any:
    made = registry.create("decoder", spec)
    return made.prepare(setting, model) if isinstance(made, Preparing) else made


def surety(setting: Setting, count: int, tokens: int) -> None:
    model = registry.create("model", "lms/smollm2").load(setting)
    prompts = [Prompt(tuple(model.tokenizer.encode(text)[0]), tokens) for text in (OPENINGS * 9)[:count]]
    seeds = list(range(count))
    values = {}
    for name, spec in (("sampling", "sample:temperature=1.2"), ("cntp", "cntp:temperature=1.2")):
        found = decoder(spec, setting, model).decode(model.lm, prompts, seeds=seeds, meter=METER)
        pairs = zip(prompts, found, strict=True)
        values[name] = np.array(
            [np.mean(output_logprobs(model.lm, prompt, [item], METER)[0]) for prompt, item in pairs]
        )
        cost = np.mean([item.extra.get("generated", len(item.tokens)) / max(1, len(item.tokens)) for item in found])
        print(f"{name}: {values[name].mean():.3f} nats a token, {cost:.2f} generated an emitted token")
    test = stats.ttest_rel(values["cntp"], values["sampling"])
    difference = np.mean(values["cntp"] - values["sampling"])
    print(f"difference {difference:+.3f}, paired t-test p = {test.pvalue:.2g}, n = {count}")


def worked(first: int, second: int) -> str:
    """`47+85: 7+5=12, 4+8+1=13, 132.`"""
    carry, steps = 0, []
    for place in (1, 10):
        left, right = first // place % 10, second // place % 10
        total = left + right + carry
        steps.append(f"{left}+{right}{f'+{carry}' if place > 1 else ''}={total}")
        carry = total // 10
    return f"{first}+{second}: {', '.join(steps)}, {first + second}."


def accuracy(setting: Setting, problems: int, steps: int) -> None:
    rng = np.random.default_rng(0)
    pairs = [(int(a), int(b)) for a, b in rng.integers(10, 100, (9_000, 2))]
    held = set(pairs[:problems])
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "additions.txt"
        corpus.write_text("\n".join(worked(*pair) for pair in pairs if pair not in held), encoding="utf-8")
        spec = f"lms/scratch:corpus={corpus},width=64,depth=2,context=64,steps={steps}"
        model = registry.create("model", spec).load(setting)
    asked = sorted(held)
    prompts = [Prompt(tuple(model.tokenizer.encode(f" {a}+{b}:")[0]), 40, lambda new: 46 in new) for a, b in asked]
    right = {}
    for name, spec in (("greedy", "greedy"), ("sampling", "sample:temperature=1.2"), ("cntp", "cntp:temperature=1.2")):
        found = decoder(spec, setting, model).decode(model.lm, prompts, seeds=list(range(len(prompts))), meter=METER)
        texts = [model.tokenizer.decode(item.tokens) for item in found]
        right[name] = np.array(
            [text.rstrip(".").split(",")[-1].strip() == str(a + b) for text, (a, b) in zip(texts, asked, strict=True)]
        )
        print(f"{name}: {100 * right[name].mean():.1f} % of {len(asked)} additions right; e.g. {texts[0]!r}")
    gained = int((right["cntp"] & ~right["sampling"]).sum())
    lost = int((right["sampling"] & ~right["cntp"]).sum())
    exact = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    points = 100 * (right["cntp"].mean() - right["sampling"].mean())
    print(f"CNTP - sampling: {points:+.1f} points, McNemar exact p = {exact:.2g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--steps", type=int, default=1_500)
    parser.add_argument("--part", choices=("both", "surety", "accuracy"), default="both")
    options = parser.parse_args()
    setting = Setting(sources.from_environment(print), dtype="float32")
    if options.part != "surety":
        accuracy(setting, options.problems, options.steps)
    if options.part != "accuracy":
        surety(setting, options.prompts, options.tokens)


if __name__ == "__main__":
    main()
