"""lms/recoding: an LSTM language model that corrects its own state while it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api.errors import UsageError
from harness.api.protocols import Meter, Setting
from harness.api.registry import model
from harness.api.types import Budget, Example, Failure, Request, Response, Score, Scored
from harness.models._training import Recipe, Spec, fit
from harness.models.lms._closed_words import END, RARE, ClosedWords, split
from harness.models.lms._correction import Corrector, Signal, StepSizes, Stride
from harness.models.lms._word_lstm import Layers, WordLSTM
from harness.models.sequence._backbone import parameters

# B batch, T time, V symbols

ROWS = 32  # texts that are read side by side
HELD_OUT = 200  # windows of the validation text, at most, that choose the best weights


@model(
    doors=("score",),
    learns=True,
    paper="Ulmer 2021, Recoding latent sentence representations, arXiv:2101.00674; "
    "anchored ensembles: Pearce et al. 2020, AISTATS, PMLR 108",
    differs="-log p in place of p^-p - 1, whose descent makes improbable words less probable; entropies are a row's "
    "own; AdamW on windows that begin empty, and one layer of 200 units",
)
class Recoding:
    """After each word, s <- s - eta * d delta / d s for every layer's hidden and cell state s.

    `signal` is delta: the surprisal -log p of the word that came (`published`: p^-p - 1, the paper's code), which
    acts on later words only, or the entropy of the mean law over dropout samples or over an ensemble of decoders with
    anchors, after which the word is predicted anew. eta is `step`, or starts there and is learned for each state, or
    is predicted from the hidden state, both on the training text with the language model frozen. A step of 0 is the
    language model itself, bit for bit. The word list is closed: see `_closed_words`.
    Differs from the paper: -log p by default; AdamW; windows that begin empty; one layer of 200 units.
    """

    signal: Signal = "surprisal"
    step: float = 0.1  # eta; the paper takes 5 for p^-p - 1 and 0.001 for the entropies
    stride: Stride = "fixed"
    stride_steps: int = 100  # optimiser steps on the step sizes, beyond the budget
    samples: int = 10  # dropout samples, or decoders of the ensemble; the paper's number
    words: int = 10_000  # of the closed list; PTB has 9,999 and the line's end
    width: int = 200  # the paper takes 650
    depth: int = 1  # the paper takes 2
    dropout: float = 0.2
    window: int = 70  # words of a training example; the paper back-propagates through 35
    batch: int = 32  # windows
    learning_rate: float = 4e-3
    pull: float = 1e-5  # weight of the squared distance to the anchors, in nats; a choice of ours

    def __post_init__(self) -> None:
        """Refuse sizes that make no sense."""
        if min(self.samples, self.words, self.width, self.depth, self.window, self.batch) < 1 or self.step < 0:
            raise UsageError("recoding needs sizes of 1 or more and a step of 0 or more.")
        if self.stride != "fixed" and self.step == 0:
            raise UsageError(f"recoding: a {self.stride} step size starts at step=, which must be above 0.")

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Weights come from the fit, so only the training code's version counts."""
        return {"training": "recoding/1"}

    def fit(
        self,
        train: Callable[[], Iterator[Example]],
        validation: Callable[[], Iterator[Example]],
        *,
        seed: int,
        budget: Budget,
        setting: Setting,
        meter: Meter,
    ) -> RecodingModel:
        """Fit the language model within the budget, then the step sizes where they are learned."""
        texts = _texts(train())
        known = ClosedWords.of(texts, self.words)
        seen = _windows(known, texts, self.window)
        unseen = _windows(known, _texts(validation()), self.window)[:HELD_OUT]
        torch.manual_seed(seed)
        decoders = self.samples if self.signal == "ensemble" else 1
        network = WordLSTM(known.size, self.width, self.depth, self.dropout, decoders).to(setting.device)
        size = self.window + 1
        recipe = Recipe(learning_rate=self.learning_rate, batch_examples=self.batch, batch_tokens=self.batch * size)

        def loss(rows: Sequence[int]) -> tuple[Tensor, int]:
            return network.loss(seen[list(rows)].to(setting.device), self.pull)

        def validate() -> float:
            return float(
                torch.stack([network.loss(part.to(setting.device), 0.0)[0] for part in unseen.split(64)]).mean()
            )

        spec = Spec([size] * len(seen), loss, validate if len(unseen) else None)
        fit(network, spec, recipe, budget=budget, seed=seed, setting=setting, meter=meter)
        fitted = RecodingModel(network, known, self._corrector(network, seed, setting.device), setting.device)
        return fitted if self.stride == "fixed" else self._strides(fitted, seen, seed, setting, meter)

    def recoded(self, fitted: RecodingModel) -> RecodingModel:
        """The same network under this signal, step and stride (fixed ones), without another fit."""
        return replace(fitted, corrector=self._corrector(fitted.network, fitted.corrector.seed, fitted.device))

    def _corrector(self, network: WordLSTM, seed: int, device: str) -> Corrector:
        sizes = StepSizes(self.stride, self.step, self.width, self.depth).to(device)
        return Corrector(network, self.signal, sizes, self.samples, seed)

    def _strides(self, fitted: RecodingModel, seen: Tensor, seed: int, setting: Setting, meter: Meter) -> RecodingModel:
        """Step sizes that lower the surprisal of the training text; gradients reach nothing else."""
        corrector = fitted.corrector
        fitted.network.requires_grad_(False)

        def loss(rows: Sequence[int]) -> tuple[Tensor, int]:
            with torch.enable_grad():
                words_BT = seen[list(rows)].to(setting.device)
                state, nats = corrector.network.start(len(words_BT)), words_BT.new_zeros((), dtype=torch.float32)
                for place, (word, after) in enumerate(zip(words_BT[:, :-1].T, words_BT[:, 1:].T, strict=True)):
                    found = corrector.step(word, state, after, place)
                    state, nats = found.state, nats - found.law_BV.gather(1, after[:, None]).mean()
            return nats / (words_BT.shape[1] - 1), words_BT[:, 1:].numel()

        recipe = Recipe(batch_examples=self.batch, batch_tokens=seen[0].numel() * self.batch)
        spec = Spec([seen.shape[1]] * len(seen), loss)
        folder = setting.folder / "strides" if setting.folder else None
        budget = Budget(steps=self.stride_steps)
        fit(
            corrector.sizes,
            spec,
            recipe,
            budget=budget,
            seed=seed,
            setting=replace(setting, folder=folder),
            meter=meter,
        )
        corrector.sizes.requires_grad_(False)
        return fitted


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading a text gave, a number a word."""

    logprobs: NDArray[np.float64]  # of the words, rare ones' shares included
    greedy: NDArray[np.bool_]  # the word was the likeliest, and not a rare one
    before: NDArray[np.float64]  # the error signal of the state before its correction
    after: NDArray[np.float64]  # and after it


@final
@dataclass(frozen=True)
class RecodingModel:
    """A trained language model with its corrector, behind the `score` door."""

    network: WordLSTM
    words: ClosedWords
    corrector: Corrector
    device: str = "cpu"

    @property
    def identity(self) -> Mapping[str, Any]:
        """Sizes, and what corrects the state."""
        sizes = self.corrector.sizes
        return {
            "parameters": sum(item.numel() for item in self.network.parameters()) + parameters(sizes),
            "vocabulary": self.words.size,
            "signal": self.corrector.signal,
            "stride": sizes.stride,
            "backend": f"torch-{self.device}",
        }

    def size(self, request: Request) -> int:
        """Words."""
        return len(split(request.context + request.continuation)) if isinstance(request, Score) else 1

    def score(self, requests: Sequence[Score], *, meter: Meter) -> list[Response]:
        """One log-probability a word; Failure for a text with a word that the training text lacks."""
        responses: list[Response] = [Failure("there is nothing to score: the text is empty") for _ in requests]
        rows: dict[int, list[str]] = {}
        for index, request in enumerate(requests):
            rows[index] = [word for word, _ in split(request.context + request.continuation)]
            try:
                self.words.encode(rows[index])
            except ValueError as problem:
                responses[index] = Failure(str(problem))
                rows[index] = []
        readable = [index for index, row in rows.items() if row]
        with meter.span("score", tokens=sum(len(rows[index]) for index in readable)):
            readings = self.read([rows[index] for index in readable])
        for index, reading in zip(readable, readings, strict=True):
            spans = _spans(requests[index])
            first = len(reading.logprobs) - len(spans)
            logprobs = tuple(map(float, reading.logprobs[first:]))
            responses[index] = Scored(logprobs, tuple(spans), bool(reading.greedy[first:].all()))
        return responses

    def read(self, rows: Sequence[Sequence[str]]) -> list[Reading]:
        """Read texts side by side, each from an empty state and after a line's end."""
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        found: dict[int, Reading] = {}
        for start in range(0, len(order), ROWS):
            chosen = order[start : start + ROWS]
            found |= zip(chosen, self._together([rows[row] for row in chosen]), strict=True)
        return [found[row] for row in range(len(rows))]

    def _together(self, rows: Sequence[Sequence[str]]) -> list[Reading]:
        encoded = [self.words.encode(row) for row in rows]
        longest = max(map(len, rows))
        padded = torch.full((len(rows), longest + 1), END)
        for place, (symbols, _) in enumerate(encoded):
            padded[place, 1 : len(symbols) + 1] = torch.tensor(symbols)
        padded = padded.to(self.device)
        state, columns = self.network.start(len(rows)), []
        for time in range(longest):
            after = padded[:, time + 1]
            step = self.corrector.step(padded[:, time], state, after, time)
            state = Layers.of([item.detach() for item in step.state.tensors()])
            law_BV = step.law_BV.detach()
            top = (law_BV.argmax(1) == after) & (after != RARE)
            columns.append(torch.stack([law_BV.gather(1, after[:, None])[:, 0], top, step.before_B, step.after_B]))
        table = torch.stack(columns, -1).double().cpu().numpy()  # [4, B, T]
        return [
            Reading(
                table[0, row, : len(symbols)] + np.array(shares),
                table[1, row, : len(symbols)] > 0,
                table[2, row, : len(symbols)],
                table[3, row, : len(symbols)],
            )
            for row, (symbols, shares) in enumerate(encoded)
        ]


def _texts(examples: Iterator[Example]) -> list[str]:
    requests = [request for example in examples for request in example.requests]
    texts = [item.context + item.continuation for item in requests if isinstance(item, Score)]
    if len(texts) < len(requests):
        raise UsageError("lms/recoding learns from tasks that score whole texts, such as language_modelling/ptb.")
    return texts


def _windows(known: ClosedWords, texts: Sequence[str], window: int) -> Tensor:
    """Windows [N, window + 1] of all texts; the first word of each is the last one of the window before.

    Words that only the validation text has count as rare ones here, since a loss needs no shares.
    """
    symbols = [END]
    for text in texts:
        symbols += [known.index.get(word, RARE) for word, _ in split(text)]
    count = (len(symbols) - 1) // window
    if texts and not count:
        raise UsageError(f"lms/recoding: {len(symbols) - 1} words are too few for a window of {window}.")
    starts = torch.arange(count)[:, None] * window
    return torch.tensor(symbols)[starts + torch.arange(window + 1)]


def _spans(request: Score) -> list[tuple[int, int]]:
    """The characters of the continuation that each of its words covers; a word across the border counts from it."""
    border = len(request.context)
    spans = [span for _, span in split(request.context + request.continuation)]
    return [(max(0, first - border), last - border) for first, last in spans if last > border]
