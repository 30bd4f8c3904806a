"""How fluently a model rewrites the sentences of learners of English."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, Generate, HubData

JFLEG = Dataset(
    name="jfleg",
    files={
        "validation": DataFile(
            "spelling/jfleg_dev.jsonl.gz", "58ce92c36e574ec779b1920292a2c387a013aa0b60a62fea9a6b590fa1a2a48f"
        ),
        "test": DataFile(
            "spelling/jfleg_test.jsonl.gz", "e24bb85c49bfeae5b41f96ad84de6eb1b29ce77546a9f9dcc406fc6a37bac417"
        ),
    },
    columns=("source", "references"),
    licence="CC BY-NC-SA 4.0",
    hub=HubData(
        id="jhu-clsp/jfleg",
        splits={"validation": "validation", "test": "test"},
        columns={"source": "sentence", "references": "corrections"},
    ),
)
INSTRUCTION = "Rewrite the sentence in correct and fluent English. Keep its meaning. Answer with the new sentence."
# tokenised as the data are
SHOTS = (
    ("She go to school by the bus every days .", "She goes to school by bus every day ."),
    ("I think is importent that people has hobbys .", "I think it is important that people have hobbies ."),
)


@task(
    version=1,
    doors=("generate",),
    paper="Napoles, Sakaguchi, Tetreault 2017, JFLEG: A Fluency Corpus and Benchmark, EACL",
    licence="CC BY-NC-SA 4.0",
    differs="none",
)
class Jfleg:
    """JFLEG: a learner's sentence in, a fluent one out; GLEU against four corrections.

    754 sentences for validation, 747 for testing, tokenised as distributed; nothing to train on. A request
    longer than the model's context is a Failure, it is never cut.

    Napoles, Sakaguchi, Tetreault 2017, "JFLEG", EACL.
    Differs from the paper: none.
    """

    @property
    def door(self) -> str:
        """Generation."""
        return "generate"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """GLEU."""
        return ("gleu",)

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """The sentences in the official order; the seed plays no part."""
        _check(split)
        for number, row in enumerate(sources.rows(JFLEG, split)):
            source = str(row["source"])
            request = Generate(source, len(source) // 2 + 32, stop=("\n",), instruction=INSTRUCTION, shots=SHOTS)
            yield Example(f"{split}-{number}", (request,), [str(text) for text in row["references"]])

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""
        _check(split)
        return sources.digest(JFLEG, split)


def _check(split: str) -> None:
    if split not in JFLEG.files:
        raise UsageError(f"keyboard/jfleg has no split {split!r}; it has {', '.join(JFLEG.files)}.")
