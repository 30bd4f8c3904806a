"""How well a language model predicts encyclopaedia articles, by the word, the byte and the bit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, HubData, Response, Score
from harness.tasks import _choices

_HUB_SPLITS = {"train": "train", "validation": "validation", "test": "test"}
WIKITEXT2 = Dataset(
    name="wikitext2",
    files={
        "train": DataFile(
            "lm_text/wikitext2_train.txt.gz",
            sha256="fc9790d81cb8f08d3cfc5765fc8e67dcf8fe00845c1365914b81da130bbd79ce",
        ),
        "validation": DataFile(
            "lm_text/wikitext2_valid.txt.gz",
            sha256="3cdd8cb5bb349a05840c7c3bef9578d90d64df77e27e0c25c033ba9342757ee3",
        ),
        "test": DataFile(
            "lm_text/wikitext2_test.txt.gz",
            sha256="688887879b4b526692cb2e423a516dcc5f6584a01fd3f33a8e164fbed2de8090",
        ),
    },
    columns=("text",),
    licence="CC BY-SA 3.0",
    hub=HubData("Salesforce/wikitext", _HUB_SPLITS, config="wikitext-2-v1"),
)
WIKITEXT103 = Dataset(
    name="wikitext103",
    files={
        "test": DataFile(
            "lm_text/wikitext103_test.txt.gz",
            sha256="22e3fc412a3f92d2a23c412e1ececcaca5bbfbf6bcd3286320d9cb9a65cdd19a",
        )
    },
    columns=("text",),
    licence="CC BY-SA 3.0",
    hub=HubData("Salesforce/wikitext", _HUB_SPLITS, config="wikitext-103-v1"),
)
# the release without <unk>, already joined to documents: what lm-eval's `wikitext` reads
RAW = Dataset(
    name="wikitext2_raw",
    files={},
    columns=("page",),
    licence="CC BY-SA 3.0",
    hub=HubData("EleutherAI/wikitext_document_level", _HUB_SPLITS, config="wikitext-2-raw-v1"),
)
SETS = {"wikitext2": WIKITEXT2, "wikitext103": WIKITEXT103, "raw": RAW}

# tokenised spelling -> plain spelling, applied in this order; the brackets and quotes come between the two lists
_BEFORE = (
    ("s '", "s'"),
    (" @-@ ", "-"),
    (" @,@ ", ","),
    (" @.@ ", "."),
    *((f" {mark} ", f"{mark} ") for mark in ":;.!?,"),
)
_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"), ('"', '"'), ("'", "'"))
_AFTER = (
    ("= = = =", "===="),
    ("= = =", "==="),
    ("= =", "=="),
    (" ° ", "°"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),
    (" 's", "'s"),
)


@task(
    version=1,
    doors=("score",),
    paper="Merity et al. 2016, Pointer Sentinel Mixture Models, arXiv:1609.07843",
    licence="CC BY-SA 3.0",
    differs="Documents, detokenisation and the counts of words and bytes (of the tokenised document) are those of "
    "lm-eval's wikitext. lm-eval reads the raw release (set=raw, on the hub alone); the default reads the released "
    "tokens of WikiText-2, where rare words are <unk>, so that the two perplexities are not comparable.",
)
class Wikitext:
    """Perplexity of Wikipedia articles, each scored whole under rolling windows after one BOS (or EOS) token."""

    set: Literal["wikitext2", "wikitext103", "raw"] = "wikitext2"

    @property
    def door(self) -> str:
        """Documents are scored."""
        return "score"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """lm-eval's three."""
        return ("word_perplexity", "byte_perplexity", "bits_per_byte")

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """One example a document."""
        del seed  # nothing is drawn
        rows = sources.rows(self._data(split), split)
        pages = (str(row["page"]) for row in rows) if self.set == "raw" else documents(str(row["text"]) for row in rows)
        for number, page in enumerate(pages):
            yield Example(
                # a learner must be able to tell what it was trained on from what it is tested on
                id=str(number) if split == "test" else f"{split}-{number}",
                requests=(Score("", detokenise(page)),),
                target={"words": len(re.split(r"\s+", page)), "bytes": len(page.encode())},
            )

    def data_digest(self, split: str, sources: Sources) -> str:
        """The file's digest."""
        return sources.digest(self._data(split), split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """Certain of every document."""
        return _choices.certain(example.requests, {0})

    def _data(self, split: str) -> Dataset:
        data = SETS[self.set]
        known = data.files or (data.hub.splits if data.hub else {})
        if split not in known:
            raise UsageError(
                f"language_modelling/wikitext:set={self.set} has no split {split!r}; it has {', '.join(known)}."
            )
        return data


def documents(lines: Iterable[str]) -> Iterator[str]:
    """Articles of the line-by-line release: a new one starts at every top-level heading.

    As in the document-level release, a heading closes the lines before it, so that the empty line above it belongs
    to the article before, and lines are joined by newlines.
    """
    kept: list[str] = []
    for line in lines:
        # the hub's rows keep the newline and write the release's blank line " " as ""
        line = line.removesuffix("\n") or " "
        flattened = line.replace("= = =", "===").replace("= =", "==").strip()
        if flattened.startswith("= ") and flattened.endswith(" ="):
            if "".join(kept).strip():
                yield "\n".join(kept)
            kept = []
        kept.append(line)
    # the file ends in a newline, after which its last line is empty
    yield "\n".join([*kept, ""])


def detokenise(page: str) -> str:
    """Plain spelling of a tokenised page: lm-eval's `wikitext_detokenizer`, without its one rule that never fires."""
    for old, new in _BEFORE:
        page = page.replace(old, new)
    for opening, closing in _PAIRS:
        first, last = re.escape(opening), re.escape(closing)
        page = re.sub(rf"{first}\s*([^{last}]*?)\s*{last}", rf"{opening}\1{closing}", page)
    for old, new in _AFTER:
        page = page.replace(old, new)
    return page
