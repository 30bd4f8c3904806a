"""What do the mask and the objective alone change? A paired encoder and decoder, and each continued as the other.

    python benchmarks/paired_objectives.py [--seeds 0,1,2] [--steps 300] [--more 75]

One ModernBERT-like shape (`sequence/ettin`) is trained on the Penn Treebank from one start on the same batches: as an
encoder, which names 30 % of hidden words, and as a decoder, which names the next word. Then `more` steps go on
under the same or the other mask and objective, so that all four have the same budget; a decoder that goes on as an
encoder names hidden words at the position before them, as it learnt to. Reported: accuracy on hidden words of the
validation text (10 % hidden, the same ones for all), nats of its next words, and the accuracy of a linear probe on mean
vectors of TREC's questions; mean and 95 % t-interval over seeds, and the differences paired by seed.
About two minutes a seed on one core.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats as scipy_stats
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from harness import sources
from harness.api import registry
from harness.api.protocols import Setting
from harness.api.types import Budget, Label, Score
from harness.models._training import Recipe, Spec, fit
from harness.models.lms._closed_words import END, RARE, ClosedWords, split
from harness.models.sequence._backbone import Backbone, Shape, parameters
from harness.models.sequence._objectives import hidden_outputs, hidden_token, hide, next_token
from harness.models.sequence.ettin import Ettin
from harness.timing import RunMeter

WINDOW = 65  # words; a decoder reads 64 of them
HIDDEN = 0.3  # of the words of a training window, the paper's share
NAMES = ("encoder", "encoder, then decoder", "decoder", "decoder, then encoder")
PAIRS = (("encoder", "decoder, then encoder"), ("decoder", "encoder, then decoder"), ("encoder", "decoder"))


@dataclass(frozen=True, slots=True)
class Text:
    """Windows of words, and the symbol that hides one."""

    words: ClosedWords
    train: Tensor
    validation: Tensor

    @property
    def mask(self) -> int:
        """The symbol after the last word."""
        return self.words.size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--more", type=int, default=75, help="steps that go on under the same or the other objective")
    parser.add_argument("--words", type=int, default=2_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=4)
    asked = parser.parse_args()
    setting = Setting(sources.from_environment(print))
    text, questions = newspaper(setting, asked.words), trec(setting)
    shape = Shape(asked.width, asked.depth, text.words.size + 1, text.words.size + 1, per_position=True, tied=True)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for seed in map(int, asked.seeds.split(",")):
        for name, row in one_seed(seed, shape, text, questions, asked, setting).items():
            print(
                f"seed {seed} | {name:<22} | {' | '.join(f'{key} {value:.4f}' for key, value in row.items())}",
                flush=True,
            )
            for key, value in row.items():
                found[name, key].append(value)
    for (name, key), values in found.items():
        print(f"all seeds | {name:<22} | {key:<12} | {spread(values)}")
    for first, second in PAIRS:
        for key in ("hidden", "next", "probe"):
            if (first, key) in found and (second, key) in found:
                gaps = [a - b for a, b in zip(found[first, key], found[second, key], strict=True)]
                print(f"difference | {first} - ({second}) | {key:<12} | {spread(gaps)}")


def one_seed(
    seed: int, shape: Shape, text: Text, questions: dict[str, Any], asked: argparse.Namespace, setting: Setting
) -> dict[str, dict[str, float]]:
    """Train the pair, continue both under both objectives, and measure the four."""
    meter = RunMeter()
    torch.manual_seed(seed)
    begin = Ettin(causal=False).stack(shape)
    encoder, decoder = Ettin(causal=False).stack(shape, begin), Ettin(causal=True).stack(shape, begin)
    train(encoder, text, asked.steps, seed, setting, causal=False, ahead=False)
    train(decoder, text, asked.steps, seed, setting, causal=True, ahead=False)
    rows = {}
    for name in NAMES:
        origin, causal = (encoder if name.startswith("encoder") else decoder), name.endswith("decoder")
        ahead = origin is decoder
        network = Ettin(causal=causal).stack(shape, origin)
        train(network, text, asked.more, seed + 1_000, setting, causal=causal, ahead=ahead)
        rows[name] = measured(network, text, questions, causal=causal, ahead=ahead)
    print(f"seed {seed} | {parameters(begin):,} parameters each, {meter.elapsed():.0f} s", flush=True)
    return rows


def train(network: Backbone, text: Text, steps: int, seed: int, setting: Setting, *, causal: bool, ahead: bool) -> None:
    """Some steps under one objective; the order of the windows depends on the seed alone."""

    def loss(rows: Sequence[int]) -> tuple[Tensor, int]:
        chosen = text.train[list(rows)]
        if causal:
            return next_token(network, chosen)
        return hidden_token(network, chosen, hide(chosen, HIDDEN), text.mask, ahead)

    recipe = Recipe(learning_rate=3e-3, batch_examples=32, batch_tokens=32 * WINDOW)
    spec = Spec([WINDOW] * len(text.train), loss)
    fit(network, spec, recipe, budget=Budget(steps=steps), seed=seed, setting=setting, meter=RunMeter())


@torch.no_grad()
def measured(
    network: Backbone, text: Text, questions: dict[str, Any], *, causal: bool, ahead: bool
) -> dict[str, float]:
    """What this mask can be asked: hidden words of an encoder, next words of a decoder; a probe of either."""
    row: dict[str, float] = {}
    if causal:
        losses = [next_token(network, part)[0] for part in text.validation.split(64)]
        row["next"] = float(torch.stack(losses).mean())
    else:
        right = count = 0
        generator = torch.Generator().manual_seed(0)
        for part in text.validation.split(64):
            hidden = hide(part, 0.1, generator)
            hidden[:, 0] = False  # graded by neither, since none stands before it
            outputs, targets = hidden_outputs(network, part, hidden, text.mask, ahead)
            graded = targets > RARE  # a rarer word is only a class
            right, count = right + int((outputs.argmax(-1) == targets)[graded].sum()), count + int(graded.sum())
        row["hidden"] = right / count
    vectors = {name: mean_vectors(network, text.words, sentences) for name, (sentences, _) in questions.items()}
    probe = make_pipeline(StandardScaler(), RidgeClassifier()).fit(vectors["train"], questions["train"][1])
    row["probe"] = float(probe.score(vectors["test"], questions["test"][1]))
    return row


def mean_vectors(network: Backbone, words: ClosedWords, sentences: Sequence[str]) -> NDArray[np.float64]:
    """The mean over each sentence's words of what the head would read."""
    seen: list[Tensor] = []
    hook = network.norm.register_forward_hook(lambda module, given, made: seen.append(made))
    rows = []
    for start in range(0, len(sentences), 256):
        ids = [[words.index.get(word, RARE) for word, _ in split(text)] for text in sentences[start : start + 256]]
        padded = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.long)
        for place, row in enumerate(ids):
            padded[place, : len(row)] = torch.tensor(row)
        mask_BT = torch.arange(padded.shape[1]) < torch.tensor([[len(row)] for row in ids])
        network(padded, mask_BT)
        kept = seen.pop() * mask_BT[..., None]
        rows.append((kept.sum(1) / mask_BT.sum(1, keepdim=True)).double().numpy())
    hook.remove()
    return np.concatenate(rows)


def newspaper(setting: Setting, limit: int) -> Text:
    """The Penn Treebank's training and validation lines in windows."""
    task = registry.create("task", "language_modelling/ptb")
    lines = {}
    for name in ("train", "validation"):
        requests = [item.requests[0] for item in task.examples(name, 0, setting.sources)]
        lines[name] = [request.continuation for request in requests if isinstance(request, Score)]
    words = ClosedWords.of(lines["train"], limit)

    def windows(texts: Sequence[str]) -> Tensor:
        ids = [END, *(words.index.get(word, RARE) for text in texts for word, _ in split(text))]
        return torch.tensor(ids[: len(ids) // WINDOW * WINDOW]).view(-1, WINDOW)

    return Text(words, windows(lines["train"]), windows(lines["validation"])[:256])


def trec(setting: Setting) -> dict[str, Any]:
    """Questions and their six kinds of answer."""
    task, found = registry.create("task", "embedding/trec"), {}
    for name in ("train", "test"):
        examples = list(task.examples(name, 0, setting.sources))
        requests = [item.requests[0] for item in examples]
        texts = [bytes((item.sequence - 1).tolist()).decode() for item in requests if isinstance(item, Label)]
        found[name] = (texts, [int(item.target) for item in examples])
    return found


def spread(values: Sequence[float]) -> str:
    """Mean with its t interval."""
    if len(values) < 2:
        return f"{np.mean(values):+.4f} (one seed)"
    half = scipy_stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):+.4f} [{np.mean(values) - half:+.4f}, {np.mean(values) + half:+.4f}]"


if __name__ == "__main__":
    main()
