"""How many tokens a decoding method gains when it completes Python functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, Generate, HubData

DATA = Dataset(
    name="humaneval",
    files={
        "test": DataFile(
            "spec_decoding/humaneval.jsonl.gz",
            sha256="ac4e91943afe24984653da41df3abfbaa028b0097907d380cc1644ff04e1604f",
        )
    },
    columns=("task_id", "prompt"),
    licence="MIT",
    hub=HubData("openai/openai_humaneval", {"test": "test"}),
)
# where the completed function ends
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")


@task(
    version=1,
    doors=("generate",),
    paper="Chen et al. 2021, Evaluating Large Language Models Trained on Code, arXiv:2107.03374",
    licence="MIT",
    differs="Only the prompts and stop strings are used, to measure decoding; no generated program is run, so there "
    "is no pass@k.",
)
class HumanevalPrompts:
    """164 signatures with docstrings, continued as text until the function ends."""

    max_new_tokens: int = 256  # tokens

    @property
    def door(self) -> str:
        """Functions are generated."""
        return "generate"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """What a decoding method saves and what it spends."""
        return ("mean_accepted_tokens", "mbsu", "target_calls", "verified_nodes", "draft_calls", "new_tokens")

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """One example a function."""
        del seed  # nothing is drawn
        if split != "test":
            raise UsageError(f"decoding/humaneval_prompts has no split {split!r}; it has test alone.")
        for row in sources.rows(DATA, split):
            yield Example(
                id=str(row["task_id"]), requests=(Generate(str(row["prompt"]), self.max_new_tokens, stop=STOPS),)
            )

    def data_digest(self, split: str, sources: Sources) -> str:
        """The file's digest."""
        return sources.digest(DATA, split)
