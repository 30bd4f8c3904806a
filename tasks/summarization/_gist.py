"""How does a text with its summaries become an example? The same question, metrics and checks for every such task.

One convention of ROUGE for all: rouge-score's F-measure with Porter stems, the best of several references, and for
ROUGE-Lsum one sentence a line or after . ! ?. No example is dropped: a blank reference scores 0, and a
blank source is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.api.errors import DataError, UsageError
from harness.api.types import Example, Generate, Generated, Response

METRICS: tuple[Any, ...] = (
    "rouge:which=1",
    "rouge:which=2",
    "rouge:which=L",
    "rouge:which=Lsum",
    "empty_rate",
    "overlong_rate",
    "new_tokens",
)
BOUNDS = (100, 300, 600)  # words, the ends of the length classes


def examples(
    texts: Iterable[tuple[str, Sequence[str]]], split: str, instruction: str, max_new_tokens: int
) -> Iterator[Example]:
    """One example a (source, references), in the order given; tagged with the class of its source's length in words."""
    for number, (source, references) in enumerate(texts):
        request = Generate(source, max_new_tokens, instruction=instruction)
        target: Any = references[0] if len(references) == 1 else list(references)
        yield Example(f"{split}-{number}", (request,), target, {"words": length_class(source)})


def length_class(text: str) -> str:
    """`1-100`, `101-300`, `301-600` or `601+` words."""
    words, low = len(text.split()), 1
    for bound in BOUNDS:
        if words <= bound:
            return f"{low}-{bound}"
        low = bound + 1
    return f"{low}+"


def oracle(example: Example) -> tuple[Response, ...]:
    """A reference itself, the first that is not blank."""
    references = example.target if isinstance(example.target, list) else [example.target]
    return (Generated(text=next((text for text in references if text.strip()), "")),)


def texts(row: Mapping[str, Any], column: str, place: str) -> list[str]:
    """A column that holds a text or a list of texts; DataError for anything else, or for an empty list."""
    value = row[column]
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, (list, tuple)) or not found or not all(isinstance(item, str) for item in found):
        raise DataError(f"{place}: column {column!r} must be a text or a list of texts, not {type(value).__name__}.")
    return list(found)


def no_split(task: str, split: str, known: Iterable[str]) -> UsageError:
    """The error for a split that a task does not have."""
    return UsageError(f"{task} has no split {split!r}; it has {', '.join(known)}.")
