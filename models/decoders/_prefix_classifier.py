"""How likely is a prefix to end in an output with an attribute? A small recurrent network, trained on whole outputs.

Every prefix of an output carries the output's own label, as in FUDGE-like classifiers and the conditional beam search
of arXiv:2311.08817; there a head reads the model's hidden states, here a GRU reads the tokens, so that one classifier
serves any model of a vocabulary. Files are safetensors: numbers and strings, nothing that runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.api.errors import DataError, UsageError
from harness.api.types import Prompt

# B outputs of a batch, T tokens, W width, F features
WIDTH = 32
PROMPT = 64  # last tokens of a prompt that are read
FLOOR = -20.0  # nats: no prefix is given up for good
HELD = 4_096  # prefixes whose state is kept
NGRAMS = (1, 2, 3, 4)  # tokens; how many of each length came again is told beside the state


@dataclass(frozen=True, slots=True)
class Labelled:
    """A whole output with its prompt, and whether it has the attribute."""

    prompt: tuple[int, ...]
    output: tuple[int, ...]
    label: bool


@final
class PrefixClassifier(nn.Module):
    """P(A = 1 | x, y_1..t) = sigmoid(w . [GRU(x, y_1..t), f(y_1..t)] + b), one number for every t from 0 on.

    f holds the logarithm of the length and how many n-grams have come again, which a GRU is slow to count.
    """

    def __init__(self, vocabulary: int, width: int = WIDTH) -> None:
        super().__init__()
        self.vocabulary, self.width = vocabulary, width
        # one more token stands between prompt and output
        self.embedding = nn.Embedding(vocabulary + 1, width)
        self.cell = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width + 1 + len(NGRAMS), 1)

    def forward(self, tokens_BT: Tensor, features_BTF: Tensor) -> Tensor:
        """Logits [B, T] after every token."""
        states_BTW, _ = self.cell(self.embedding(tokens_BT))
        logits_BT: Tensor = self.head(torch.cat([states_BTW, features_BTF], -1))[..., 0]
        return logits_BT

    def read(self, prompt: Sequence[int], output: Sequence[int]) -> list[int]:
        """A prompt's end, the border and the output as one row."""
        return [*prompt[-PROMPT:], self.vocabulary, *output]

    @torch.inference_mode()
    def beliefs(self, prompt: Sequence[int], output: Sequence[int]) -> list[float]:
        """P(A = 1) after 0, 1, ... tokens of the output."""
        row = self.read(prompt, output)
        logits_T = self(torch.tensor([row]), _told(output, len(row))[None])[0]
        return torch.sigmoid(logits_T[-len(output) - 1 :]).tolist()  # type: ignore[no-any-return]


def train(
    outputs: Sequence[Labelled],
    vocabulary: int,
    *,
    seed: int,
    steps: int = 300,
    batch: int = 32,
    learning_rate: float = 0.01,
) -> PrefixClassifier:
    """Cross-entropy of the final label at every prefix, outputs and both labels weighing the same; Adam.

    Errors: UsageError when one of the labels does not occur, for then there is nothing to tell apart.
    """
    groups = [[item for item in outputs if item.label == label] for label in (False, True)]
    if not all(groups):
        raise UsageError(
            f"all {len(outputs)} outputs have the same label, so a classifier cannot learn the other; use more prompts "
            "or another attribute."
        )
    torch.manual_seed(seed)
    # a generator of its own with the same seed would repeat the numbers that the weights began with
    draw = torch.Generator().manual_seed(int(np.random.SeedSequence(seed, spawn_key=(1,)).generate_state(1)[0]))
    model = PrefixClassifier(vocabulary)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for _ in range(steps):
        chosen = [
            group[int(place)] for group in groups for place in torch.randint(len(group), (batch // 2,), generator=draw)
        ]
        rows = [torch.tensor(model.read(item.prompt, item.output)) for item in chosen]
        told = [_told(item.output, len(row)) for item, row in zip(chosen, rows, strict=True)]
        tokens_BT = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        logits_BT = model(tokens_BT, nn.utils.rnn.pad_sequence(told, batch_first=True))
        places_T = torch.arange(tokens_BT.shape[1])
        ends_B = torch.tensor([len(row) for row in rows])
        starts_B = ends_B - torch.tensor([len(item.output) + 1 for item in chosen])
        counted_BT = (places_T >= starts_B[:, None]) & (places_T < ends_B[:, None])
        labels_BT = torch.tensor([float(item.label) for item in chosen])[:, None].expand_as(logits_BT)
        losses_BT = nn.functional.binary_cross_entropy_with_logits(logits_BT, labels_BT, reduction="none")
        # a long output has more prefixes than a short one, but no more to say about its label
        loss = ((losses_BT * counted_BT).sum(1) / counted_BT.sum(1)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


def balanced_accuracy(model: PrefixClassifier, outputs: Sequence[Labelled], share: float = 1.0) -> float:
    """Mean over both labels of the share of outputs told right after `share` of their tokens; 0.5 is chance."""
    right: dict[bool, list[bool]] = {False: [], True: []}
    for item in outputs:
        seen = item.output[: math.ceil(share * len(item.output))]
        right[item.label].append((model.beliefs(item.prompt, seen)[-1] > 0.5) == item.label)
    shares = [sum(found) / len(found) for found in right.values() if found]
    return sum(shares) / len(shares)


def save(model: PrefixClassifier, file: Path, facts: Mapping[str, str]) -> None:
    """Weights, sizes and what they were trained for."""
    sizes = {"vocabulary": str(model.vocabulary), "width": str(model.width)}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, file, {**facts, **sizes})


def load(file: Path) -> tuple[PrefixClassifier, Mapping[str, str]]:
    """The inverse of `save`; DataError when the file is missing or no such classifier."""
    try:
        with safe_open(file, "pt") as stored:
            facts = stored.metadata() or {}
            model = PrefixClassifier(int(facts["vocabulary"]), int(facts["width"]))
            model.load_state_dict({name: stored.get_tensor(name) for name in stored.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as problem:
        raise DataError(f"{file} holds no prefix classifier: {problem}") from problem
    return model.eval(), facts


def _told(output: Sequence[int], rows: int) -> Tensor:
    """Features [rows, F] of the output's prefixes, the whole output last; zero before its first."""
    found = torch.zeros(rows, 1 + len(NGRAMS))
    seen: list[set[tuple[int, ...]]] = [set() for _ in NGRAMS]
    again = [0.0] * len(NGRAMS)
    for length in range(1, len(output) + 1):
        for place, size in enumerate(NGRAMS):
            if length >= size:
                ngram = tuple(output[length - size : length])
                again[place] += ngram in seen[place]
                seen[place].add(ngram)
        row = [math.log1p(length), *(math.log1p(count) for count in again)]
        found[rows - len(output) - 1 + length] = torch.tensor(row)
    return found


@final
class Belief:
    """A trained classifier as the guide of a search; each token of a prefix is read once."""

    def __init__(self, model: PrefixClassifier) -> None:
        self._model = model
        self._states: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[Tensor, float]] = {}

    def __call__(self, prompt: Prompt, tokens: Sequence[int]) -> float:
        """The logarithm of P(A = 1 | prefix), in nats."""
        return self._at(prompt.tokens, tuple(tokens))[1]

    @torch.inference_mode()
    def _at(self, prompt: tuple[int, ...], tokens: tuple[int, ...]) -> tuple[Tensor, float]:
        found = self._states.get((prompt, tokens))
        if found is None:
            new = [tokens[-1]] if tokens else self._model.read(prompt, ())
            before = self._at(prompt, tokens[:-1])[0] if tokens else None
            _, state = self._model.cell(self._model.embedding(torch.tensor([new])), before)
            features_F = _told(tokens, len(tokens) + 1)[-1]
            belief = nn.functional.logsigmoid(self._model.head(torch.cat([state[0, 0], features_F])))
            found = state, max(FLOOR, float(belief))
            if len(self._states) >= HELD:
                self._states.clear()
            self._states[prompt, tokens] = found
        return found
