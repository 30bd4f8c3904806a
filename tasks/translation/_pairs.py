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
    "km": "Khmer",
    "ko": "Korean",
    "lo": "Lao",
    "my": "Burmese",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "th": "Thai",
    "tr": "Turkish",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
# three-letter codes (FLORES and NTREX: zho_Hans, jpn_Jpan) of the languages above; Chinese has many
SHORT = {
    **{"arb": "ar", "ara": "ar", "ces": "cs", "deu": "de", "eng": "en", "spa": "es", "fin": "fi", "fra": "fr"},
    **{"hin": "hi", "ita": "it", "jpn": "ja", "khm": "km", "kor": "ko", "lao": "lo", "mya": "my", "nld": "nl"},
    **{"pol": "pl", "por": "pt", "ron": "ro", "rus": "ru", "tha": "th", "tur": "tr", "vie": "vi", "zho": "zh"},
    **{"chi": "zh", "cmn": "zh", "yue": "zh", "wuu": "zh", "nan": "zh", "hak": "zh", "lzh": "zh"},
}
# sacrebleu's own advice for languages that write no spaces: `zh` for Chinese; characters for the others and for Korean,
# since what it recommends (ja-mecab, ko-mecab) needs a dictionary that is not installed everywhere
TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char", "km": "char", "lo": "char", "my": "char"}
IDEOGRAPHIC = frozenset({"zh", "ja"})  # TER's words are characters there
NO_WORDS = frozenset({"th", "km", "lo", "my"})  # no word ends can be seen, so that TER has nothing to count
SPARE = 32  # tokens that a translation may have beyond one for each character of its source
BOUNDS = (10, 20, 40)  # words, the ends of the length classes


def language(code: str) -> str:
    """The two-letter code of a language however it is spelled: zh-CN, zh_Hans, zho_Hant, ZH and cmn are `zh`."""
    first = code.replace("_", "-").partition("-")[0].lower()
    return SHORT.get(first, first)


def language_name(code: str) -> str:
    """What a prompt calls the language: its English name and, for Chinese, the script where the code says it."""
    parts = code.replace("_", "-").lower().split("-")[1:]
    name = LANGUAGES.get(language(code), code)
    if name == "Chinese" and {"hant", "tw", "hk", "mo"} & {*parts}:
        return "Traditional Chinese"
    if name == "Chinese" and {"hans", "cn", "sg"} & {*parts}:
        return "Simplified Chinese"
    return name


def metrics(target: str, tokenizer: str = "") -> tuple[Any, ...]:
    """BLEU first, then chrF++, TER, the length ratio, and the shares of blank and of over-long outputs.

    The tokenizer follows from the target language and stands in BLEU's and the length ratio's signatures.
    """
    short = language(target)
    tokenizer = tokenizer or TOKENIZERS.get(short, "13a")
    ter = ["ter:asian_support=true,normalized=true" if short in IDEOGRAPHIC else "ter"]
    return (
        f"bleu:tokenize={tokenizer}",
        "chrf:word_order=2",
        *([] if short in NO_WORDS else ter),
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
            instruction=f"Translate the text from {language_name(source)} to {language_name(target)}. "
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
