"""How well a network corrects that reads words as characters and writes them from a vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from harness.api.errors import UsageError
from harness.api.protocols import Decoder, Meter, Setting
from harness.api.registry import model
from harness.api.types import Budget, Example, Failure, Generate, Generated, Request, Response
from harness.models._training import Recipe, Spec, fit
from harness.models.keyboard._char_words import Sizes, WordCorrector
from harness.models.keyboard._corrector import text_pairs
from harness.models.keyboard._touch_channel import LETTERS, TouchChannel, estimate
from harness.models.keyboard._word_candidates import IGNORED, Lexicon, bare, counted, space
from harness.models.keyboard._word_casing import Casing, cased, casing
from harness.models.lms._word_pieces import pieces

VALIDATED = 1024  # validation sentences
BATCH = 64

Row = tuple[list[str], list[str]]


@model(
    doors=("generate",),
    paper="Ghosh, Kristensson 2017, Neural Networks for Text Correction and Completion in Keyboard Decoding",
    licence="Apache-2.0",
    learns=True,
    decodes=False,
    differs="small; errors are drawn again in training; one word out for one in, chosen among words one edit away",
)
class CharCnnGru:
    """Character CNN with highway -> GRU encoder over words -> GRU decoder with attention over words (CCEAD).

    The softmax over the word vocabulary runs over a candidate list (Jean et al. 2015): the typed word as it is and the
    known words within one edit of it, so that a word is kept or mended, and words that were never seen can be kept.
    Part of the training sentences get new errors each time, from the touch channel that is counted on the training
    pairs. The network works in lower case; capitals come back by the typed word's, the sentence's and the usual ones.

    Ghosh, Kristensson 2017, "Neural Networks for Text Correction and Completion in Keyboard Decoding"; Kim et al. 2016
    for the character CNN; Jean et al. 2015, "On Using Very Large Target Vocabulary for Neural Machine Translation".
    Differs from the paper: sizes, redrawn errors, a learned bias for word offsets in attention, one word out for each
    word in, candidate lists, capitals restored by rule.
    """

    sentences: int = 0  # training sentences that are used; 0: all
    width: int = 128
    vocabulary: int = 30_000  # most frequent words; they occur twice or more
    candidates: int = 12  # words that one may be meant by a typed one
    redrawn: float = 0.9  # share of training sentences that get new errors
    dropout: float = 0.2
    learning_rate: float = 2e-3
    beam: int = 4

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        if min(self.width, self.vocabulary, self.candidates, self.beam) < 1 or self.sentences < 0:
            raise ValueError("width, vocabulary, candidates and beam must be positive, sentences at least 0.")
        if not 0.0 <= self.redrawn <= 1.0 or not 0.0 <= self.dropout < 1.0 or self.learning_rate <= 0.0:
            raise ValueError("redrawn and dropout must be shares of 1 and learning_rate positive.")

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Version of network and training."""
        return {"version": "2"}

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
        pairs = list(islice(text_pairs(train), self.sentences or None))
        if not pairs:
            raise UsageError("keyboard/char_cnn_gru learns from the training split, which is empty.")
        clean = [text for _, text in pairs]
        lexicon = Lexicon(counted(clean), self.vocabulary, self.candidates)
        torch.manual_seed(seed)
        network = WordCorrector(Sizes(lexicon.size, self.width, self.dropout))
        network.begin_from([lexicon.counts[word] for word in lexicon.words])
        recipe = Recipe(learning_rate=self.learning_rate, batch_examples=BATCH, default_steps=2000)
        spec = self._spec(network, lexicon, pairs, list(islice(text_pairs(validation), VALIDATED)))
        fit(network, spec, recipe, budget=budget, seed=seed, setting=setting, meter=meter)
        return CharCnnGruModel(network, lexicon, casing(clean), self.beam)

    def _spec(
        self, network: nn.Module, lexicon: Lexicon, pairs: list[tuple[str, str]], held_out: list[tuple[str, str]]
    ) -> Spec:
        channel = estimate(pairs)
        # what the touch channel cannot have done (a word more or less) teaches this network nothing
        given = [row if len(row[0]) == len(row[1]) else None for row in map(split_pair, pairs)]
        wanted = [row for row in map(split_pair, held_out) if len(row[0]) == len(row[1]) > 0]

        def row(place: int, rng: np.random.Generator) -> Row:
            own = given[place]
            if own is not None and rng.random() >= self.redrawn:
                return own
            clean = pairs[place][1]
            return split_pair((redraw(clean, channel, rng), clean))

        def loss(indices: Sequence[int]) -> tuple[Tensor, int]:
            # drawn from torch's generator, whose state a checkpoint keeps
            rng = np.random.default_rng(int(torch.randint(1 << 31, (1,))))
            return cross_entropy(network, lexicon, [row(place, rng) for place in indices])

        def validate() -> float:
            sums = [
                (float(value) * count, count)
                for value, count in (
                    cross_entropy(network, lexicon, wanted[start : start + BATCH])
                    for start in range(0, len(wanted), BATCH)
                )
            ]
            return sum(value for value, _ in sums) / sum(count for _, count in sums)

        lengths = [sum(1 for _ in pieces(clean)) for _, clean in pairs]
        return Spec(lengths, loss, validate if wanted else None)


@final
class CharCnnGruModel:
    """The fitted network at its door."""

    def __init__(self, network: WordCorrector, lexicon: Lexicon, case: Casing, beam: int) -> None:
        self.network, self.lexicon, self.case, self.beam = network, lexicon, case, beam

    @property
    def identity(self) -> Mapping[str, Any]:
        """Sizes."""
        return {
            "parameters": sum(parameter.numel() for parameter in self.network.parameters()),
            "vocabulary": self.lexicon.size,
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
        chosen = self.network.correct(self.lexicon.batch([(typed, typed)]), self.beam)
        return "".join(
            cased(old, space(old) + self.lexicon.candidates(bare(old))[place], first == 0, self.case)
            for first, (old, place) in enumerate(zip(typed, chosen, strict=True))
        )


def redraw(clean: str, channel: TouchChannel, rng: np.random.Generator) -> str:
    """The clean text with errors of the channel; a capital first letter stays one, unless it is what was lost."""

    def typed(word: str) -> str:
        if rng.random() >= channel.per_word:
            return word
        forms, chances = channel.errors(word.lower())
        wrong = forms[int(rng.choice(len(forms), p=chances))]
        return wrong[:1].upper() + wrong[1:] if word[0].isupper() and wrong != word[1:].lower() else wrong

    return LETTERS.sub(lambda match: typed(match.group()), clean)


def split_pair(pair: tuple[str, str]) -> Row:
    """The words of both texts."""
    typed, clean = pair
    return [piece for piece, _ in pieces(typed)], [piece for piece, _ in pieces(clean)]


def cross_entropy(network: nn.Module, lexicon: Lexicon, rows: Sequence[Row]) -> tuple[Tensor, int]:
    """Mean over the words in nats, and how many there were."""
    batch = lexicon.batch(rows)
    loss = nn.functional.cross_entropy(network(batch).flatten(0, 1), batch.choice_BS.flatten(), ignore_index=IGNORED)
    return loss, int(batch.lengths_B.sum())
