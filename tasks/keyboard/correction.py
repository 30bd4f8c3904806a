"""How well a model restores messages that were typed in a hurry on a touch keyboard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, Generate, Generated, Response
from harness.tasks.keyboard._sentences import SPLITS, digest, sentences, shuffled
from harness.tasks.keyboard._touch_errors import RATES, estimated, sentence_seed

INSTRUCTION = (
    "Correct the typing errors in the message. Keep every word and all punctuation. Answer with the corrected message."
)
SHOTS = (
    ("Tge shop is opwn on Sundy, lets go tgoether.", "The shop is open on Sunday, lets go together."),
    ("I hvae not seen teh new garden yey.", "I have not seen the new garden yet."),
)
NEUSPELL = Dataset(
    name="neuspell_jfleg",
    files={
        "test": DataFile(
            "spelling/neuspell_jfleg.tsv.gz", "6fa3b44ad4f24e0993c27fde329c9f0d782f013bfcf7f076422e534b08486938"
        )
    },
    columns=("noise", "clean"),
    licence="MIT (NeuSpell), CC BY-NC-SA 4.0 (JFLEG)",
)


@task(
    version=1,
    doors=("generate",),
    paper="Ghosh, Kristensson 2017, Neural Networks for Text Correction and Completion in Keyboard Decoding",
    licence="own messages Apache-2.0; other sources as their data sets",
    differs="own messages, not OpenSubtitles; error rates from misspelling lists, not the Twitter typo corpus",
)
class Correction:
    """A sentence with typing errors in, the clean sentence out; character and word error rates.

    `source` names the clean sentences: `messages` (683 everyday messages of the project's own), `dialogsum`, `samsum`
    and `tatoeba` (data folder), each split by a sentence's digest (60% train, 10% validation, 30% test) and noised by
    the touch-error model of `_touch_errors.py` with `per_word` errors a word; errors are drawn anew for each seed,
    split and sentence. `neuspell` is real: learner sentences of JFLEG and their corrected spelling, for testing only.
    A generation is compared whole; a request longer than the model's context is a Failure, it is never cut.

    Ghosh, Kristensson 2017, "Neural Networks for Text Correction and Completion in Keyboard Decoding".
    Differs from the paper: OpenSubtitles and the Twitter typo corpus are not used; sentences and error rates are as
    said above.
    """

    source: Literal["messages", "dialogsum", "samsum", "tatoeba", "neuspell"] = "messages"
    per_word: float = 0.12  # probability that a word is hit; phone typing studies report 8 to 15%

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        if not 0.0 <= self.per_word <= 1.0:
            raise ValueError(f"per_word={self.per_word} is not a probability.")

    @property
    def door(self) -> str:
        """Generation."""
        return "generate"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Character error rate first."""
        return ("cer", "wer", "word_accuracy", "sequence_accuracy")

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """The split's sentences in an order that the seed decides, each with its own errors."""
        for clean, noisy in self._pairs(split, seed, sources):
            # a real sentence may have been misspelt in several ways: those examples are one cluster
            name, cluster = _name(f"{clean}\t{noisy}"), _name(clean)
            yield Example(id=f"{split}-{name}", requests=(request(noisy),), target=clean, cluster=cluster)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digests of the sentences and of the error rates."""
        if self.source == "neuspell":
            return sources.digest(NEUSPELL, "test")
        rates = hashlib.sha256(RATES.read_bytes()).hexdigest()
        return f"{digest(self.source, sources)}+sha256:{rates}"

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """The clean sentence."""
        return (Generated(text=str(example.target)),)

    def _pairs(self, split: str, seed: int, sources: Sources) -> Iterator[tuple[str, str]]:
        if self.source == "neuspell":
            yield from _real_pairs(split, seed, sources)
            return
        if split not in SPLITS:
            raise UsageError(f"keyboard/correction has no split {split!r}; it has {', '.join(SPLITS)}.")
        errors = estimated(self.per_word)
        for clean in shuffled(sentences(self.source, split, sources), seed):
            rng = np.random.default_rng(sentence_seed(seed, SPLITS.index(split), clean))
            yield clean, errors.noisy(clean, rng)


def request(noisy: str) -> Generate:
    """The question: correct this sentence; room for twice its length in tokens of two characters."""
    return Generate(
        source=noisy, max_new_tokens=len(noisy) // 2 + 16, stop=("\n",), instruction=INSTRUCTION, shots=SHOTS
    )


def _real_pairs(split: str, seed: int, sources: Sources) -> Iterator[tuple[str, str]]:
    if split != "test":
        raise UsageError(f"keyboard/correction:source=neuspell has no split {split!r}; it has test.")
    rows = ((str(row["clean"]), str(row["noise"])) for row in sources.rows(NEUSPELL, "test"))
    pairs = {f"{clean}\t{noise}": (clean, noise) for clean, noise in rows}
    for key in shuffled(list(pairs), seed):
        yield pairs[key]


def _name(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
