"""How does a sentence pair become an example? The same question, metrics and breakdown for every translation task.

No sentence is dropped and no text is changed here: blank sides stay, and a text in another Unicode normal form (NFD
beside NFC) counts as another text, as it does in sacrebleu.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from harness.api.errors import UsageError
from harness.api.types import Example, Generate, Generated, Response

LANGUAGES = {
    "ar": "Arabic",
    "cs": "Czech",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "tr": "Turkish",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
# sacrebleu's own advice for languages that write no spaces: `zh` for Chinese; characters for Japanese, whose
# recommended tokeniser needs a dictionary that is not installed everywhere
TOKENIZERS = {"zh": "zh", "ja": "char"}
SPARE = 32  # tokens that a translation may have beyond one for each character of its source
BOUNDS = (10, 20, 40)  # words, the ends of the length classes


def metrics(target: str, tokenizer: str = "") -> tuple[Any, ...]:
    """BLEU first, then chrF++, TER, the length ratio, and the shares of blank and of over-long outputs."""
    tokenizer = tokenizer or TOKENIZERS.get(target, "13a")
    return (
        f"bleu:tokenize={tokenizer}",
        "chrf:word_order=2",
        "ter",
        f"length_ratio:tokenize={tokenizer}",
        "empty_rate",
        "overlong_rate",
    )


def examples(pairs: Iterable[tuple[str, str]], split: str, source: str, target: str) -> Iterator[Example]:
    """One example a pair, in the order given; tagged with the class of its source's length in words."""
    for number, (asked, wanted) in enumerate(pairs):
        request = Generate(
            source=asked,
            max_new_tokens=len(asked) + SPARE,
            stop=("\n",),
            instruction=f"Translate the text from {LANGUAGES.get(source, source)} to {LANGUAGES.get(target, target)}. "
            "Answer with the translation only.",
        )
        yield Example(f"{split}-{number}", (request,), wanted, {"words": length_class(asked)})


def length_class(text: str) -> str:
    """`1-10`, `11-20`, `21-40` or `41+` words."""
    words, low = len(text.split()), 1
    for bound in BOUNDS:
        if words <= bound:
            return f"{low}-{bound}"
        low = bound + 1
    return f"{low}+"


def oracle(example: Example) -> tuple[Response, ...]:
    """The reference itself."""
    return (Generated(text=str(example.target)),)


def check_direction(task: str, source: str, target: str, known: Iterable[str]) -> None:
    """ValueError when a task cannot translate between two languages."""
    languages = tuple(known)
    if source == target or source not in languages or target not in languages:
        raise ValueError(f"{task} translates between two of {', '.join(languages)}, not from {source} to {target}.")


def no_split(task: str, split: str, known: Iterable[str]) -> UsageError:
    """The error for a split that a task does not have."""
    return UsageError(f"{task} has no split {split!r}; it has {', '.join(known)}.")
