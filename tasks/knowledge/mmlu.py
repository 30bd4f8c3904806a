"""Whether a language model knows the answers to exam questions in 57 subjects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.api.errors import DataError, UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, HubData, Response, Score
from harness.tasks import _choices

if TYPE_CHECKING:
    import numpy as np

_FILE = DataFile("knowledge/mmlu.jsonl.gz", sha256="09cea45a299afafc4685542c70b93279445d0a959add3fd5b217e0fcbc108f6d")
DATA = Dataset(
    name="mmlu",
    files={"dev": _FILE, "validation": _FILE, "test": _FILE},
    columns=("subject", "question", "choices", "answer"),
    licence="MIT",
    hub=HubData("cais/mmlu", {"dev": "dev", "validation": "validation", "test": "test"}, config="all"),
)
# our split -> the word in the local file's `split` column; the hub has one file a split and no such column
_SPLITS = {"dev": "dev", "validation": "val", "test": "test"}
LETTERS = "ABCD"

CATEGORIES = {
    "stem": (
        "abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science "
        "college_mathematics college_physics computer_security conceptual_physics electrical_engineering "
        "elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science "
        "high_school_mathematics high_school_physics high_school_statistics machine_learning"
    ),
    "humanities": (
        "formal_logic high_school_european_history high_school_us_history high_school_world_history "
        "international_law jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory "
        "professional_law world_religions"
    ),
    "social_sciences": (
        "econometrics high_school_geography high_school_government_and_politics high_school_macroeconomics "
        "high_school_microeconomics high_school_psychology human_sexuality professional_psychology "
        "public_relations security_studies sociology us_foreign_policy"
    ),
    "other": (
        "business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing "
        "medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology"
    ),
}
CATEGORY = {subject: category for category, subjects in CATEGORIES.items() for subject in subjects.split()}


@task(
    version=1,
    doors=("score",),
    paper="Hendrycks et al. 2021, Measuring Massive Multitask Language Understanding, arXiv:2009.03300",
    licence="MIT",
    chance=0.25,
    differs="The prompt and the shots (the first of each subject's dev split) are those of lm-eval's mmlu, which "
    "scores ' A'..' D' as continuations; the accuracy is over questions, not the mean over subjects.",
)
class Mmlu:
    """Four-choice exam questions after `shots` solved ones of the same subject; the likeliest letter is the answer.

    Context: a line naming the subject, the shots, the question with its choices and "Answer:". Every question of a
    subject shares the subject's preamble, so that an engine which shares prefixes encodes it once.
    """

    shots: int = 5  # section 4.1 of the paper; at most 5 a subject exist
    subject: str = ""  # one of the 57, or empty for all

    @property
    def door(self) -> str:
        """Choices are scored."""
        return "score"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Accuracy over questions."""
        return ("accuracy",)

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """One example a question, in the file's order."""
        del seed  # nothing is drawn
        if split not in ("validation", "test"):
            raise UsageError(
                f"knowledge/mmlu has no split {split!r}; it has validation and test (dev holds the shots)."
            )
        if self.subject and self.subject not in CATEGORY:
            raise UsageError(f"knowledge/mmlu has no subject {self.subject!r}; see the card for the 57 names.")
        if not 0 <= self.shots <= 5:
            raise UsageError(f"knowledge/mmlu: shots={self.shots}, but the dev split holds 5 questions a subject.")
        preambles = self._preambles(sources)
        seen: dict[str, int] = {}
        for row in _rows(sources, split):
            subject = str(row["subject"])
            if self.subject and subject != self.subject:
                continue
            number = seen[subject] = seen.get(subject, -1) + 1
            context = preambles[subject] + question(row)
            yield Example(
                id=f"{subject}-{number}",
                requests=tuple(Score(context, f" {letter}") for letter in LETTERS),
                target=answer(row),
                tags={"category": CATEGORY.get(subject, "other"), "subject": subject},
            )

    def data_digest(self, split: str, sources: Sources) -> str:
        """The file's digest; shots and questions live in one data set."""
        return "+".join(sources.digest(DATA, part) for part in ("dev", split))

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """Certain of the right letter."""
        return _choices.certain(example.requests, {example.target})

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Any letter."""
        return _choices.uniform(example.requests, rng)

    def _preambles(self, sources: Sources) -> dict[str, str]:
        solved: dict[str, list[str]] = {}
        for row in _rows(sources, "dev"):
            solved.setdefault(str(row["subject"]), []).append(f"{question(row)} {LETTERS[answer(row)]}\n\n")
        short = [subject for subject, shots in solved.items() if len(shots) < self.shots]
        if short or not solved:
            raise DataError(f"mmlu: fewer than {self.shots} dev questions for {', '.join(short) or 'any subject'}.")
        return {subject: headline(subject) + "".join(shots[: self.shots]) for subject, shots in solved.items()}


def headline(subject: str) -> str:
    """The line that opens every prompt of a subject."""
    return f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"


def question(row: Mapping[str, Any]) -> str:
    """The question, its lettered choices and the cue."""
    choices: Sequence[str] = row["choices"]
    lettered = "".join(f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, choices, strict=True))
    return f"{str(row['question']).strip()}\n{lettered}Answer:"


def answer(row: Mapping[str, Any]) -> int:
    """The right choice's index: the local file has a letter, the hub an index."""
    given = row["answer"]
    return LETTERS.index(given) if isinstance(given, str) else int(given)


def _rows(sources: Sources, split: str) -> Iterator[Mapping[str, Any]]:
    for row in sources.rows(DATA, split):
        if row.get("split", _SPLITS[split]) == _SPLITS[split]:
            yield row
