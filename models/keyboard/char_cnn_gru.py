"""How well a network corrects that reads words as characters and writes them from a vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from harness.api.errors import UsageError
from harness.api.protocols import Decoder, Meter, Setting
from harness.api.registry import model
from harness.api.types import Budget, Example, Failure, Generate, Generated, Request, Response
from harness.models._training import Recipe, Spec, fit
from harness.models.keyboard._char_words import END, PAD, UNKNOWN, Sizes, WordCorrector, characters
from harness.models.keyboard._corrector import text_pairs
from harness.models.keyboard._touch_channel import LETTERS, TouchChannel, estimate
from harness.models.lms._word_pieces import pieces, vocabulary_of

SPECIAL = 4  # padding, begin, end, unknown
VALIDATED = 512  # validation sentences
BATCH = 64


@model(
    doors=("generate",),
    paper="Ghosh, Kristensson 2017, Neural Networks for Text Correction and Completion in Keyboard Decoding",
    licence="Apache-2.0",
    learns=True,
    decodes=False,
    differs="small; errors are drawn again in training; attention knows word offsets; unknown words are copied; greedy",
)
class CharCnnGru:
    """Character CNN with highway -> GRU encoder over words -> GRU decoder with attention over words (CCEAD).

    Part of the training sentences get new errors each time, from the touch channel that is counted on the training
    pairs. Where the decoder writes the unknown word, the source word that it attends to most is copied.

    Ghosh, Kristensson 2017, "Neural Networks for Text Correction and Completion in Keyboard Decoding"; Kim et al. 2016
    for the character CNN; Luong et al. 2015 for copying unknown words.
    Differs from the paper: sizes, redrawn errors, a learned bias for word offsets in attention, copying, greedy search.
    """

    width: int = 128
    vocabulary: int = 12_000  # most frequent words; they occur twice or more
    redrawn: float = 0.75  # share of training sentences that get new errors
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        if self.width < 1 or self.vocabulary < 1 or not 0.0 <= self.redrawn <= 1.0 or not 0.0 <= self.dropout < 1.0:
            raise ValueError("width and vocabulary must be positive, redrawn and dropout shares of 1.")

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Version of network and training."""
        return {"version": "1"}

    def fit(
        self,
        train: Callable[[], Iterator[Example]],
        validation: Callable[[], Iterator[Example]],
        *,
        seed: int,
        budget: Budget,
        setting: Setting,
        meter: Meter,
    ) -> CharCnnGruModel:
        """Train on (typed, clean) pairs within the budget; resumes from the setting's folder."""
        pairs = list(text_pairs(train))
        if not pairs:
            raise UsageError("keyboard/char_cnn_gru learns from the training split, which is empty.")
        known, _ = vocabulary_of((clean for _, clean in pairs), 2, self.vocabulary)
        words = list(known.words)
        torch.manual_seed(seed)
        network = WordCorrector(Sizes(len(words) + SPECIAL, self.width, self.dropout))
        index = {word: place for place, word in enumerate(words, SPECIAL)}
        recipe = Recipe(learning_rate=2e-3, batch_examples=BATCH, default_steps=2000)
        spec = self._spec(
            network, index, pairs, [pair for _, pair in zip(range(VALIDATED), text_pairs(validation), strict=False)]
        )
        fit(network, spec, recipe, budget=budget, seed=seed, setting=setting, meter=meter)
        return CharCnnGruModel(network, words)

    def _spec(
        self,
        network: nn.Module,
        index: Mapping[str, int],
        pairs: list[tuple[str, str]],
        held_out: list[tuple[str, str]],
    ) -> Spec:
        channel = estimate(pairs)

        def loss(indices: Sequence[int]) -> tuple[Tensor, int]:
            # drawn from torch's generator, whose state a checkpoint keeps
            rng = np.random.default_rng(int(torch.randint(1 << 31, (1,))))
            rows = [pairs[place] for place in indices]
            rows = [
                (redraw(clean, channel, rng) if rng.random() < self.redrawn else typed, clean) for typed, clean in rows
            ]
            return cross_entropy(network, index, rows)

        def validate() -> float:
            sums = [
                (float(value) * count, count)
                for value, count in (
                    cross_entropy(network, index, held_out[start : start + BATCH])
                    for start in range(0, len(held_out), BATCH)
                )
            ]
            return sum(value for value, _ in sums) / sum(count for _, count in sums)

        lengths = [len(list(pieces(clean))) + 1 for _, clean in pairs]
        return Spec(lengths, loss, validate if held_out else None)


@final
class CharCnnGruModel:
    """The fitted network at its door."""

    def __init__(self, network: WordCorrector, words: Sequence[str]) -> None:
        self.network, self.words = network, words

    @property
    def identity(self) -> Mapping[str, Any]:
        """Sizes."""
        return {
            "parameters": sum(parameter.numel() for parameter in self.network.parameters()),
            "vocabulary": len(self.words) + SPECIAL,
            "backend": "torch",
            "device": "cpu",
            "dtype": "float32",
        }

    def size(self, request: Request) -> int:
        """Words."""
        text = request.source if isinstance(request, Generate) and isinstance(request.source, str) else ""
        return 1 + text.count(" ")

    def generate(
        self, requests: Sequence[Generate], *, decoder: Decoder | None, seeds: Sequence[int], meter: Meter
    ) -> list[Response]:
        """The corrected text; anything but plain text is a Failure."""
        responses: list[Response] = []
        for index, request in enumerate(requests):
            if not isinstance(request.source, str):
                responses.append(Failure(f"a corrector rewrites text, not {type(request.source).__name__}."))
                continue
            # one at a time, so that neither padding nor company can change an answer
            with meter.span("decode"):
                text = self.correct(request.source)
            meter.count("model_calls")
            meter.emitted(index, len(text.split()))
            responses.append(Generated(text=text, finished="eos"))
        return responses

    def correct(self, text: str) -> str:
        """The clean text for a typed one."""
        typed = [piece for piece, _ in pieces(text)]
        if not typed:
            return text
        [row] = self.network.correct(*characters([typed]))
        return "".join(typed[source] if word == UNKNOWN else self.words[word - SPECIAL] for word, source in row)


def redraw(clean: str, channel: TouchChannel, rng: np.random.Generator) -> str:
    """The clean text with errors of the channel; a capital first letter stays one."""

    def typed(word: str) -> str:
        if rng.random() >= channel.per_word:
            return word
        forms, chances = channel.errors(word.lower())
        wrong = forms[int(rng.choice(len(forms), p=chances))]
        return wrong[:1].upper() + wrong[1:] if word[0].isupper() else wrong

    return LETTERS.sub(lambda match: typed(match.group()), clean)


def cross_entropy(network: nn.Module, index: Mapping[str, int], rows: Sequence[tuple[str, str]]) -> tuple[Tensor, int]:
    """Mean over the words of the clean texts and their ends, in nats, and how many there were."""
    typed = [[piece for piece, _ in pieces(source)] or [""] for source, _ in rows]
    wanted = [[index.get(piece, UNKNOWN) for piece, _ in pieces(clean)] + [END] for _, clean in rows]
    target_BT = torch.full((len(rows), max(map(len, wanted))), PAD)
    for row, ids in enumerate(wanted):
        target_BT[row, : len(ids)] = torch.tensor(ids)
    logits_BTV = network(*characters(typed), target_BT)
    loss = nn.functional.cross_entropy(logits_BTV.flatten(0, 1), target_BT.flatten(), ignore_index=PAD)
    return loss, sum(map(len, wanted))
