"""Which noun lists and which texts around them make up a recall trial."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SHIFTS = 10  # circular shifts of one base list; the base list is the independent unit
BASES = 23  # base lists of ten nouns
OWN = Path(__file__).with_name("_own_stimuli.json")
PAPER_CODE = {
    "intact": "sce1",
    "scrambled": "sce1rnd",
    "incongruent": "sce2",
    "short": "sce3",
    "permuted_preface": "sce4",
    "comma": "sce5",
    "other_name": "sce6",
    "permuted_prompt": "sce7",
}
CONTROL_SEED = 12345  # the paper's repository
SCRAMBLE_SEED = 97  # any fixed number: the scrambled vignette is part of the stimuli, not of the sample


@dataclass(frozen=True, slots=True)
class Frame:
    """The text before the first list, and the text between the two lists (vignette and prompt)."""

    preface: str
    between: str


def armeni_frame(stimuli: Mapping[str, Any], scenario: str, intervening: int) -> Frame:
    """The texts of Armeni et al. for a scenario and an intervening length 1..5."""
    code = PAPER_CODE[scenario]
    return Frame(stimuli["prefixes"][code]["1"], stimuli["prompts"][code][str(intervening)])


def own_frame(stimuli: Mapping[str, Any], scenario: str, intervening: int) -> Frame:
    """The project's own texts, in the same eight scenarios and about the same five lengths."""
    person = stimuli["names"]["other" if scenario == "other_name" else "default"]
    preface, prompt = stimuli["preface"], stimuli["prompt"]
    topic = "incongruent" if scenario == "incongruent" else "sections"
    brief = stimuli["incongruent_brief" if scenario == "incongruent" else "brief"]
    vignette = brief if intervening == 1 else " ".join(stimuli[topic][: intervening - 1])
    if scenario == "short":
        preface, prompt, vignette = stimuli["preface_short"], stimuli["prompt_short"], ""
    elif scenario == "permuted_preface":
        preface = stimuli["preface_permuted"]
    elif scenario == "permuted_prompt":
        prompt = stimuli["prompt_permuted"]
    elif scenario == "comma":
        preface, prompt = preface.removesuffix(":") + ",", prompt.removesuffix(":") + ","
    vignette, preface, prompt = (text.format(**person) for text in (vignette, preface, prompt))
    if scenario == "scrambled":
        vignette = scramble(vignette)
    return Frame(preface, f"{vignette} {prompt}".strip())


def scramble(text: str) -> str:
    """Shuffle the words within each sentence, then the sentences; the same text always gives the same result."""
    rng = np.random.RandomState(SCRAMBLE_SEED)
    split = [sentence.replace(",", "").split() for sentence in text.removesuffix(".").split(". ")]
    # a word that is capitalised inside a sentence is a name and keeps its capital
    names = {word for words in split for word in words[1:] if word[0].isupper()}
    sentences = []
    for words in split:
        words = [words[0] if words[0] in names else words[0].lower(), *words[1:]]
        shuffled = " ".join(words[index] for index in rng.permutation(len(words)))
        sentences.append(shuffled[:1].upper() + shuffled[1:] + ".")
    return " ".join(sentences[index] for index in rng.permutation(len(sentences)))


def own_lists(nouns: Mapping[str, Sequence[str]], kind: str, seed: int) -> list[list[str]]:
    """230 lists of ten nouns drawn from the categories: 23 base lists, each in its ten circular shifts.

    A semantic list holds ten nouns of one category; an arbitrary list holds one noun from each of ten. No noun is in
    two base lists.
    """
    rng = np.random.RandomState(seed)
    categories = [list(nouns[name]) for name in sorted(nouns)]
    decks = [[deck[index] for index in rng.permutation(len(deck))] for deck in categories]
    order = rng.permutation(len(decks))
    if kind == "semantic":
        bases = [decks[index][:SHIFTS] for index in order[:BASES]]
    else:
        # consecutive places on the cycle of categories are ten different categories
        turns = [order[place % len(order)] for place in range(BASES * SHIFTS)]
        dealt = [decks[category].pop() for category in turns]
        bases = [dealt[start : start + SHIFTS] for start in range(0, len(dealt), SHIFTS)]
        bases = [[base[index] for index in rng.permutation(SHIFTS)] for base in bases]
    return [rotate(base, shift) for base in bases for shift in range(SHIFTS)]


def rotate(items: Sequence[str], shift: int) -> list[str]:
    """Circular shift to the right."""
    cut = len(items) - shift % len(items)
    return [*items[cut:], *items[:cut]]


def permuted(lists: Sequence[Sequence[str]]) -> list[list[str]]:
    """The second lists of the permute condition: list j under RandomState((543 + j) * 5).

    Lists that come out unchanged are all drawn again, in rounds seeded 123, 133, 143, ... until a round leaves none
    unchanged, as the paper's repository does.
    """
    result = [np.random.RandomState((543 + j) * 5).permutation(items).tolist() for j, items in enumerate(lists)]
    unchanged = [j for j, items in enumerate(lists) if result[j] == list(items)]
    seed = 123
    while any(result[j] == list(lists[j]) for j in unchanged):
        rng = np.random.RandomState(seed)
        for j in unchanged:
            result[j] = rng.permutation(lists[j]).tolist()
        seed += 10
    return result


def novel_partners(count: int, seed: int) -> list[int]:
    """For each of `count` lists, the index of a list of another base group (drawn as the paper's repository draws).

    Groups are visited in order; each draws ten lists with replacement from the other groups' lists that no earlier
    group has drawn.
    """
    rng = np.random.RandomState(seed)
    base = np.arange(count) // SHIFTS
    free = np.ones(count, dtype=bool)
    partners = np.zeros(count, dtype=int)
    for group in range(base[-1] + 1):
        drawn = rng.choice(np.flatnonzero((base != group) & free), size=SHIFTS)
        partners[base == group] = drawn
        free[drawn] = False
    return [int(index) for index in partners]


def read_own() -> dict[str, Any]:
    """The project's own stimuli."""
    loaded: dict[str, Any] = json.loads(OWN.read_text(encoding="utf-8"))
    return loaded
