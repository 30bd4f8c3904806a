"""Which clean sentences each source offers, and in which split each of them is.

A sentence's own digest decides its split, so that no sentence is in two splits, adding sentences moves none, and
official splits (which share many short utterances) play no part.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.api.protocols import Sources
from harness.api.types import DataFile, Dataset, HubData

SPLITS = ("train", "validation", "test")
# hundredths of all sentences below which a split ends: 60% train, 10% validation, 30% test
BOUNDS = {"train": 60, "validation": 70, "test": 100}
LENGTHS = range(3, 21)  # words of a sentence
OWN = Path(__file__).with_name("_messages.txt")

DIALOGSUM = Dataset(
    name="dialogsum",
    files={
        "train": DataFile(
            "dialogsum/train.jsonl.gz", "258c9489823acfcbbdae430479fa30ac09b048b858d2a16b1b6ce1711ae36a13"
        ),
        "validation": DataFile(
            "dialogsum/dev.jsonl.gz", "40a9f0a3daf8dbd48376254737fd4b8e9b6a125da54642e9afa5882f76bd45a8"
        ),
        "test": DataFile("dialogsum/test.jsonl.gz", "4542bd7997f5c7147a51ee6f853dcaea812cfa788f04040affeac0aed0f29694"),
    },
    columns=("dialogue",),
    licence="CC BY-NC-SA 4.0",
    hub=HubData(id="knkarthick/dialogsum", splits={"train": "train", "validation": "validation", "test": "test"}),
)
SAMSUM = Dataset(
    name="samsum",
    files={
        "validation": DataFile(
            "samsum/validation.jsonl.gz", "3c19010ac308c7a7fcae4c0ef3b61ecfd55361a0dc4e42dc27b933d2d43ae54d"
        ),
        "test": DataFile("samsum/test.jsonl.gz", "244da4e0d763365b1d535307c8e12441bbcee36726939d5b0a504b3b9350b5cd"),
    },
    columns=("dialogue",),
    licence="CC BY-NC-ND 4.0",
    hub=HubData(id="knkarthick/samsum", splits={"validation": "validation", "test": "test"}),
)
TATOEBA = Dataset(
    name="tatoeba_anki",
    files={
        "all": DataFile("tatoeba_anki/en-fr.tsv.gz", "eaf557ef8fbd8528aebdd09ce5878164de2798b62cb6134ff2c5ad0d9eac9c36")
    },
    columns=("en",),
    licence="CC BY 2.0 FR",
)
DATASETS = {"dialogsum": DIALOGSUM, "samsum": SAMSUM, "tatoeba": TATOEBA}


def sentences(source: str, split: str, sources: Sources) -> list[str]:
    """The split's clean sentences, without repetition, in source order."""
    found = own_messages() if source == "messages" else _from_data(source, sources)
    return [sentence for sentence in dict.fromkeys(found) if split_of(sentence) == split]


def split_of(sentence: str) -> str:
    """The split that a sentence's digest puts it in; case does not matter, so near-twins stay together."""
    share = int.from_bytes(hashlib.sha256(sentence.lower().encode()).digest()[:8], "big") % 100
    return next(split for split in SPLITS if share < BOUNDS[split])


def shuffled(items: Sequence[str], seed: int) -> list[str]:
    """A fixed order for each seed: by the digest of the seed and the text."""
    return sorted(items, key=lambda text: hashlib.sha256(f"{seed}:{text}".encode()).digest())


def own_messages() -> list[str]:
    """The project's own everyday messages."""
    return OWN.read_text(encoding="utf-8").splitlines()


def digest(source: str, sources: Sources) -> str:
    """What identifies the sentences of a source."""
    if source == "messages":
        return "sha256:" + hashlib.sha256(OWN.read_bytes()).hexdigest()
    dataset = DATASETS[source]
    return "+".join(sources.digest(dataset, part) for part in dataset.files)


def _from_data(source: str, sources: Sources) -> Iterator[str]:
    dataset = DATASETS[source]
    for part in dataset.files:
        for row in sources.rows(dataset, part):
            text = str(row["en"]) if source == "tatoeba" else _utterances(str(row["dialogue"]))
            for sentence in re.split(r"(?<=[.!?])\s+|\n", text):
                cleaned = clean(sentence)
                if cleaned:
                    yield cleaned


def _utterances(dialogue: str) -> str:
    """The dialogue's lines without their speakers."""
    return "\n".join(line.partition(": ")[2] for line in dialogue.splitlines())


def clean(sentence: str) -> str:
    """The sentence in plain ASCII, or "" when it is too short, too long, or holds what no thumb types as text."""
    text = " ".join(sentence.replace("\u2019", "'").replace("\u2018", "'").split())
    if len(text.split()) not in LENGTHS or not text.isascii() or not text.isprintable():
        return ""
    if re.search(r"[#<>{}\[\]\\^|~_@]|https?:", text) or not text[0].isalnum():
        return ""
    return text
