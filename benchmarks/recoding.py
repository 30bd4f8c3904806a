"""Does correcting an LSTM's state while it reads lower its error signal, and what does that do to its perplexity?

    python benchmarks/recoding.py [--seeds 0,1,2] [--tokens 400000] [--documents 24] [--words 1000]

On the Penn Treebank: a language model with one decoder and one with an anchored ensemble are fitted a seed, then every
signal corrects the same weights at several step sizes, and step sizes are learned and predicted. A row says at which
share of the words the signal fell (Wilson's 95% interval), the perplexity of a word without and with correction, and
the change in percent with a 95% interval over documents (paired bootstrap); the last rows are over seeds (Student's t).
About three minutes a seed on one core.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import exp

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from harness import sources
from harness.api import registry
from harness.api.protocols import Setting
from harness.api.types import Budget, Example, Score
from harness.models.lms._closed_words import split
from harness.models.lms._correction import Signal, Stride
from harness.models.lms.recoding import Reading, Recoding, RecodingModel
from harness.stats import wilson
from harness.timing import RunMeter

TASK = "language_modelling/ptb:sentences=20"
# the paper's for the entropies
SMALL: dict[Signal, float] = {"surprisal": 0.01, "published": 0.01, "dropout": 0.001, "ensemble": 0.001}
LARGE: dict[Signal, tuple[float, float]] = {
    "surprisal": (0.1, 1.0),
    "published": (1.0, 5.0),
    "dropout": (0.1, 1.0),
    "ensemble": (0.1, 1.0),
}
STRIDES: tuple[Stride, ...] = ("learned", "predicted")


@dataclass(frozen=True, slots=True)
class Row:
    """One way to correct, on one seed."""

    name: str
    falls: tuple[int, int]  # words at which the signal fell, and words
    perplexity: float
    change: float  # percent
    interval: tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--tokens", type=int, default=400_000, help="words that each language model is trained on")
    parser.add_argument("--documents", type=int, default=24, help="test documents of 20 lines")
    parser.add_argument("--words", type=int, default=1_000, help="words the network knows; the others share a symbol")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--ways", default=",".join((*SMALL, *STRIDES)), help="signals, and how step sizes are found")
    parser.add_argument("--stride-steps", type=int, default=40)
    asked = parser.parse_args()
    rows = defaultdict(list)
    for seed in map(int, asked.seeds.split(",")):
        for row in one_seed(seed, asked):
            falls = wilson(*row.falls)
            print(
                f"seed {seed} | {row.name:<26} | falls {100 * row.falls[0] / row.falls[1]:6.2f} % "
                f"[{100 * falls[0]:.2f}, {100 * falls[1]:.2f}] | perplexity {row.perplexity:7.2f} | "
                f"change {row.change:+7.3f} % [{row.interval[0]:+.3f}, {row.interval[1]:+.3f}]",
                flush=True,
            )
            rows[row.name].append(row)
    for name, found in rows.items():
        share = min(row.falls[0] / row.falls[1] for row in found)
        print(f"all seeds | {name:<26} | least share of falls {100 * share:6.2f} % | change {over_seeds(found)}")


def one_seed(seed: int, asked: argparse.Namespace) -> Iterator[Row]:
    """Fit both language models, and every row of one seed."""
    setting = Setting(sources.from_environment(print), announce=lambda text: None)
    task = registry.create("task", TASK)

    def examples(name: str) -> list[Example]:
        return list(task.examples(name, seed, setting.sources))

    texts = []
    for example in islice(examples("test"), asked.documents):
        for request in example.requests:
            assert isinstance(request, Score)
            texts.append([word for word, _ in split(request.continuation)])
    budget = Budget(tokens=asked.tokens)

    def fitted(model: Recoding) -> RecodingModel:
        meter = RunMeter()
        made = model.fit(
            lambda: iter(examples("train")),
            lambda: iter(examples("validation")),
            seed=seed,
            budget=budget,
            setting=setting,
            meter=meter,
        )
        print(f"seed {seed} | fitted {model.signal}, {model.stride} steps: {meter.elapsed():.0f} s", flush=True)
        return made

    ways = asked.ways.split(",")
    plain = Recoding(words=asked.words, width=asked.width, stride_steps=asked.stride_steps)
    single = fitted(plain)
    for signal, small in SMALL.items():
        if signal not in ways:
            continue
        model = replace(plain, signal=signal)
        network = fitted(model) if signal == "ensemble" else single
        without = replace(model, step=0.0).recoded(network).read(texts)
        yield compared(f"{signal} 0", without, without)
        for step in (small, *LARGE[signal]):
            yield compared(f"{signal} {step}", without, replace(model, step=step).recoded(network).read(texts))
    for stride in STRIDES:
        if stride in ways:
            without = replace(plain, step=0.0).recoded(single).read(texts)
            found = fitted(replace(plain, stride=stride)).read(texts)
            yield compared(f"surprisal {stride}", without, found)


def compared(name: str, without: Sequence[Reading], found: Sequence[Reading]) -> Row:
    """A row against the same weights without correction, paired by document."""
    nats = np.array([[-a.logprobs.sum(), -b.logprobs.sum()] for a, b in zip(without, found, strict=True)])
    counts = np.array([len(item.logprobs) for item in found])
    drawn = np.random.default_rng(0).integers(0, len(nats), (2_000, len(nats)))
    low, high = np.quantile(_change(nats[drawn], counts[drawn]), (0.025, 0.975))
    before, after = (np.concatenate([getattr(item, part) for item in found]) for part in ("before", "after"))
    perplexity = exp(nats[:, 1].sum() / counts.sum())
    falls = (int((after < before).sum()), len(before))
    return Row(name, falls, perplexity, float(_change(nats[None], counts[None])[0]), (float(low), float(high)))


def over_seeds(rows: Sequence[Row]) -> str:
    """Mean change with its t interval."""
    changes = np.array([row.change for row in rows])
    if len(changes) < 2:
        return f"{changes.mean():+.3f} % (one seed)"
    half = scipy_stats.t.ppf(0.975, len(changes) - 1) * changes.std(ddof=1) / len(changes) ** 0.5
    return f"{changes.mean():+.3f} % [{changes.mean() - half:+.3f}, {changes.mean() + half:+.3f}]"


def _change(nats_RN2: NDArray[np.float64], counts_RN: NDArray[np.int64]) -> NDArray[np.float64]:
    rates = nats_RN2.sum(1) / counts_RN.sum(1)[:, None]
    return np.asarray(100 * np.expm1(rates[:, 1] - rates[:, 0]))


if __name__ == "__main__":
    main()
