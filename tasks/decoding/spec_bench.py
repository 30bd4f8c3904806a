"""How much faster than plain decoding a method answers 480 questions of six kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, Generate, Generated, Request, Response, Turn

DATA = Dataset(
    name="spec_bench",
    files={
        "test": DataFile(
            "spec_decoding/spec_bench.jsonl.gz",
            sha256="9202553e8b121b67efcc0adb874982c4639924faa7ebe9749d3ae6866b47397a",
        )
    },
    columns=("question_id", "category", "turns"),
    licence="Apache-2.0",
)
CATEGORIES = ("mt_bench", "translation", "summarization", "qa", "math_reasoning", "rag")


@task(
    version=1,
    doors=("generate",),
    paper="Xia et al. 2024, Unlocking Efficiency in Large Language Model Inference: A Comprehensive Survey of "
    "Speculative Decoding, arXiv:2401.07851",
    licence="Apache-2.0",
    differs="The paper's speed-up is a mean of per-question ratios of tokens per second, the baseline's tokens "
    "counted by re-tokenising its text; here true token ids are counted on both sides and ratios are of totals. A "
    "failed question is a failure, not a stale time. Prompts use the model's own chat template, not Vicuna's.",
)
class SpecBench:
    """MT-Bench (80 questions of two turns), translation, summarisation, question answering, mathematics, retrieval.

    The second turn of MT-Bench follows the model's own first answer. Nothing is graded: the metrics say how many
    tokens a call of the target yields, and the run's timings how fast that was.
    """

    category: str = ""  # one of the six, or empty for all
    max_new_tokens: int = 1024  # tokens a turn; the value of the paper's evaluation scripts
    per_category: int = 0  # the first so many questions of each category; 0 is all

    @property
    def door(self) -> str:
        """Answers are generated."""
        return "generate"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """What a decoding method saves and what it spends."""
        return ("mean_accepted_tokens", "mbsu", "target_calls", "verified_nodes", "draft_calls", "new_tokens")

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """One example a question; its first request is the first turn."""
        del seed  # nothing is drawn
        if split != "test":
            raise UsageError(f"decoding/spec_bench has no split {split!r}; it has test alone.")
        if self.category and self.category not in CATEGORIES:
            raise UsageError(f"decoding/spec_bench has no category {self.category!r}; it has {', '.join(CATEGORIES)}.")
        if self.per_category < 0:
            raise UsageError(f"decoding/spec_bench: per_category={self.per_category}, but it counts questions.")
        seen: Counter[str] = Counter()
        for row in sources.rows(DATA, split):
            topic = str(row["category"])
            # the paper counts MT-Bench's eight topics as one category
            category = topic if topic in CATEGORIES else "mt_bench"
            seen[category] += 1
            if self.category in ("", category) and (not self.per_category or seen[category] <= self.per_category):
                turns = [str(turn) for turn in row["turns"]]
                yield Example(
                    id=str(row["question_id"]),
                    requests=(Generate((Turn("user", turns[0]),), self.max_new_tokens),),
                    target={"turns": turns},
                    tags={"category": category, "topic": topic},
                )

    def follow_up(self, example: Example, responses: Sequence[Response]) -> Request | None:
        """The next turn after the conversation so far; None after the last, or once an answer has failed."""
        turns = example.target["turns"]
        if len(responses) >= len(turns):
            return None
        said: list[Turn] = []
        for question, answer in zip(turns, responses, strict=False):
            if not isinstance(answer, Generated):
                return None
            said += [Turn("user", question), Turn("assistant", answer.text)]
        return Generate((*said, Turn("user", turns[len(responses)])), self.max_new_tokens)

    def data_digest(self, split: str, sources: Sources) -> str:
        """The file's digest."""
        return sources.digest(DATA, split)
