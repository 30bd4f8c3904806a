"""How many tokens a decoding method gains when it writes short programs on request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, Generate, Turn

DATA = Dataset(
    name="mbpp_prompts",
    files={
        "test": DataFile(
            "spec_decoding/mbpp.jsonl.gz",
            sha256="10ae78cfd2a24327794b7b0bb1895dd9a643f3ae7fd41ab86b30b8f48fd7cd4d",
        )
    },
    columns=("question_id", "turns"),
    licence="CC BY 4.0",
)


@task(
    version=1,
    doors=("generate",),
    paper="Austin et al. 2021, Program Synthesis with Large Language Models, arXiv:2108.07732; prompts of Luo et al. "
    "2024, Token Recycling, arXiv:2408.08696",
    licence="CC BY 4.0",
    differs="399 problems in Token Recycling's chat wording, to measure decoding; no generated program is run.",
)
class MbppPrompts:
    """399 one-sentence programming problems with one assertion, asked in a chat turn."""

    max_new_tokens: int = 1024  # tokens; Spec-Bench's value, which the second paper keeps

    @property
    def door(self) -> str:
        """Programs are generated."""
        return "generate"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """What a decoding method saves and what it spends."""
        return ("mean_accepted_tokens", "mbsu", "target_calls", "verified_nodes", "draft_calls", "new_tokens")

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """One example a problem."""
        del seed  # nothing is drawn
        if split != "test":
            raise UsageError(f"decoding/mbpp_prompts has no split {split!r}; it has test alone.")
        for row in sources.rows(DATA, split):
            turn = Turn("user", str(row["turns"][0]))
            yield Example(id=str(row["question_id"]), requests=(Generate((turn,), self.max_new_tokens),))

    def data_digest(self, split: str, sources: Sources) -> str:
        """The file's digest."""
        return sources.digest(DATA, split)
