"""Whether a model solves grade-school word problems, and how many tokens a decoding method gains on the way."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

from harness.api.errors import DataError, UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, Generate, Generated, HubData, Response

DATA = Dataset(
    name="gsm8k",
    files={
        "train": DataFile(
            "spec_decoding/gsm8k_train.jsonl.gz",
            sha256="d52a31668743a4f18e4a284514e54eea07a06ae31fcf4293af2506c198c05bda",
        ),
        "test": DataFile(
            "spec_decoding/gsm8k_test.jsonl.gz",
            sha256="bb13a52c31b1fa4805ebab294dce067e337ccd4b61c3e6461c85c92965282c62",
        ),
    },
    columns=("question", "answer"),
    licence="MIT",
    hub=HubData("openai/gsm8k", {"train": "train", "test": "test"}, config="main"),
)
STOPS = ("Question:", "</s>", "<|im_end|>")  # lm-eval's


@task(
    version=2,
    doors=("generate",),
    paper="Cobbe et al. 2021, Training Verifiers to Solve Math Word Problems, arXiv:2110.14168",
    licence="MIT",
    differs="Prompt (to the letter), stops and number of shots are lm-eval's gsm8k without a chat template; its shots "
    "are drawn anew for every question, here they are the first `shots` training problems for all. Numbers are "
    "compared as numbers, where lm-eval compares spellings.",
)
class Gsm8k:
    """1,319 word problems after solved ones; the answer is the number after `####`, or the last number said.

    The solved ones stand before the question in one text, which a chat model continues as it is; `layout=turns` makes
    each a turn of the user and one of the assistant where the model has a chat template.
    """

    shots: int = 5  # lm-eval's number
    layout: Literal["text", "turns"] = "text"
    max_new_tokens: int = 256  # tokens; lm-eval's default

    @property
    def door(self) -> str:
        """Solutions are generated."""
        return "generate"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """The number, found strictly and flexibly, and what the decoder made of it."""
        return (
            "number_match:found=last",
            "number_match:found=marked",
            "mean_accepted_tokens",
            "mbsu",
            "target_calls",
            "verified_nodes",
            "draft_calls",
            "new_tokens",
        )

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """One example a problem; with `split=train`, the problems after the shots."""
        del seed  # nothing is drawn
        if split not in DATA.files:
            raise UsageError(f"decoding/gsm8k has no split {split!r}; it has {', '.join(DATA.files)}.")
        if self.shots < 0:
            raise UsageError(f"decoding/gsm8k: shots={self.shots}, but it cannot be negative.")
        solved = islice(sources.rows(DATA, "train"), self.shots)
        shots = tuple((_asked(row["question"]), str(row["answer"])) for row in solved)
        if len(shots) < self.shots:
            raise DataError(f"gsm8k: {self.shots} shots were asked for, but the training file has {len(shots)} rows.")
        skipped = self.shots if split == "train" else 0
        for number, row in enumerate(sources.rows(DATA, split)):
            if number >= skipped:
                request = self._request(_asked(row["question"]), shots)
                target = str(row["answer"]).rpartition("#### ")[2].strip()
                yield Example(id=f"{split}-{number}", requests=(request,), target=target)

    def data_digest(self, split: str, sources: Sources) -> str:
        """The digests of the shots' file and the split's."""
        return "+".join(sources.digest(DATA, part) for part in dict.fromkeys(("train", split)))

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """Only the number."""
        return (Generated(f"#### {example.target}", tokens=(1,), accepted=(1,), calls=1),)

    def _request(self, asked: str, shots: tuple[tuple[str, str], ...]) -> Generate:
        if self.layout == "turns":
            return Generate(asked, self.max_new_tokens, stop=STOPS, shots=shots)
        # lm-eval's delimiters: a blank before the answer, an empty line after it
        before = "".join(f"{question} {answer}\n\n" for question, answer in shots)
        return Generate(before + asked, self.max_new_tokens, stop=STOPS)


def _asked(question: Any) -> str:
    return f"Question: {question}\nAnswer:"
