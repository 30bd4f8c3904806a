"""How well a language model predicts newspaper sentences in the Penn Treebank's reduced spelling."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, HubData, Response, Score
from harness.tasks import _choices

DATA = Dataset(
    name="ptb",
    files={
        "train": DataFile(
            "lm_text/ptb_train.txt.gz", sha256="d1ec43563d7ce27da8b43f9069b2a58cb9e7f2656e96d7aab0ddc61ef728e176"
        ),
        "validation": DataFile(
            "lm_text/ptb_valid.txt.gz", sha256="fdb970a6bddedf957366618daec55ab7beb159f8123600f8db16c34833dca93d"
        ),
        "test": DataFile(
            "lm_text/ptb_test.txt.gz", sha256="b9743208d38e095719ea30645a6456bd2cabe3b3dfe0815ad10a51d08b4e2a48"
        ),
    },
    columns=("text",),
    licence="LDC text, research use",
    hub=HubData(
        "ptb-text-only/ptb_text_only",
        {"train": "train", "validation": "validation", "test": "test"},
        config="penn_treebank",
        columns={"text": "sentence"},
    ),
)


@task(
    version=1,
    doors=("score",),
    paper="Mikolov et al. 2010, Recurrent neural network based language model, Interspeech",
    licence="LDC text, research use",
    differs="The paper's models carry their state through the whole file; here documents of `sentences` lines are "
    "scored apart, after one BOS (or EOS) token. Words are counted as in the paper, each line's end being one "
    "(82,430 in the test file), whatever the model's own tokens are. lm-eval has no such task.",
)
class Ptb:
    """Perplexity of lower-cased news sentences, one a line, where numbers are N and rare words <unk>."""

    sentences: int = 100  # lines a document; the file marks no document boundaries

    @property
    def door(self) -> str:
        """Documents are scored."""
        return "score"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """By the word (the paper's), the byte and the bit."""
        return ("word_perplexity", "byte_perplexity", "bits_per_byte")

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """One example for every `sentences` consecutive lines."""
        del seed  # nothing is drawn
        if split not in DATA.files:
            raise UsageError(f"language_modelling/ptb has no split {split!r}; it has {', '.join(DATA.files)}.")
        if self.sentences < 1:
            raise UsageError(f"language_modelling/ptb: sentences={self.sentences}, but a document needs one or more.")
        lines = (str(row["text"]).strip() for row in sources.rows(DATA, split))
        for number, block in enumerate(_blocks(lines, self.sentences)):
            document = "".join(f"{line}\n" for line in block)
            words = sum(len(line.split()) + 1 for line in block)
            yield Example(
                # a learner must be able to tell what it was trained on from what it is tested on
                id=str(number) if split == "test" else f"{split}-{number}",
                requests=(Score("", document),),
                target={"words": words, "bytes": len(document.encode())},
            )

    def data_digest(self, split: str, sources: Sources) -> str:
        """The file's digest."""
        return sources.digest(DATA, split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """Certain of every document."""
        return _choices.certain(example.requests, {0})


def _blocks(lines: Iterator[str], size: int) -> Iterator[list[str]]:
    while block := list(islice(lines, size)):
        yield block
