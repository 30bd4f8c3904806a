"""Whether a language model retrieves a list of nouns that it has read before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, Response, Score, Scored
from harness.tasks.recall._noun_stimuli import (
    BASES,
    CONTROL_SEED,
    OWN,
    SHIFTS,
    Frame,
    armeni_frame,
    novel_partners,
    own_frame,
    own_lists,
    permuted,
    read_own,
)
from harness.tasks.recall._repeat_surprisal import RepeatSurprisal

CONDITIONS = ("repeat", "permute", "novel")
ARMENI = Dataset(
    name="noun_list_recall",
    files={
        "arbitrary": DataFile(
            "noun_list_recall/noun_lists_random.json",
            "d59a9bbf42b93bc269c31f39a184fdc7ddf3d7b353088cd57fc7920c0827d0ad",
        ),
        "semantic": DataFile(
            "noun_list_recall/noun_lists_categorized.json",
            "f2b1bd9d686d9d5a70cdebc098bbe485ce4b9572967063db44e46a931bc8147b",
        ),
        "texts": DataFile(
            "noun_list_recall/stimuli.json",
            "3ab16d81194eebb51969bdfa6c9aaef3fc1ea85dfffa2b70f13936042ef2180f",
        ),
    },
    licence="CC BY 4.0",
)


@task(
    version=1,
    doors=("score",),
    paper="Armeni, Honey, Linzen 2022, Characterizing Verbatim Short-Term Memory in Neural Language Models, CoNLL",
    licence="own stimuli Apache-2.0; stimuli=armeni CC BY 4.0",
    differs="own nouns and texts by default; intervals resample base lists instead of all 230 lists",
    chance=100.0,
)
class NounList:
    """Repeat surprisal of noun lists: a list, a short story, and the same, a permuted or a new list.

    Text: `{preface} w1, ..., wN. {story} {prompt} v1, ..., vN.`; one Score request a trial: the preface is its context
    and the rest its continuation. 230 trials a condition: 23 base lists (the cluster of the bootstrap) in ten
    circular shifts. 100% means that a second reading helps nothing; a model that remembers comes close to 0% in
    `repeat`. A text longer than the model's context is a Failure, it is never cut.

    Armeni, Honey, Linzen 2022, CoNLL; Armeni, Pranjic, Pollak 2024, CoNLL.
    Differs from the paper: own stimuli by default; cluster bootstrap over base lists.
    """

    type: Literal["arbitrary", "semantic"] = "arbitrary"
    length: Literal[3, 5, 7, 10] = 10  # nouns a list
    condition: Literal["repeat", "permute", "novel", "all"] = "all"
    intervening: Literal[1, 2, 3, 4, 5] = 1  # 26, 47, 99, 194, 435 tokens in the paper; own texts are about as long
    scenario: Literal[
        "intact",
        "scrambled",
        "incongruent",
        "short",
        "permuted_preface",
        "comma",
        "other_name",
        "permuted_prompt",
    ] = "intact"
    stimuli: Literal["own", "armeni"] = "own"

    def __post_init__(self) -> None:
        """Refuse the one combination that does not exist."""
        if self.scenario == "short" and self.intervening != 1:
            raise ValueError(f"scenario=short has one intervening text; intervening={self.intervening} does not exist.")

    @property
    def door(self) -> str:
        """Log-probabilities."""
        return "score"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Median repeat surprisal of each condition asked for."""
        return tuple(RepeatSurprisal(condition) for condition in self._conditions())

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """All trials; one shift of every base list after the other, so that a limited run spans many base lists.

        With own stimuli the seed draws the nouns of each list; Armeni's lists are fixed and ignore it.
        """
        _check_split(split)
        lists, frame, control_seed = self._material(seed, sources)
        partners = {
            "repeat": lists,
            "permute": permuted(lists),
            "novel": [lists[index] for index in novel_partners(len(lists), control_seed)],
        }
        for shift in range(SHIFTS):
            for base in range(len(lists) // SHIFTS):
                index = base * SHIFTS + shift
                for condition in self._conditions():
                    yield self._trial(frame, index, condition, lists[index], partners[condition][index])

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digests of the lists and texts."""
        _check_split(split)
        if self.stimuli == "own":
            return "sha256:" + hashlib.sha256(OWN.read_bytes()).hexdigest()
        return "+".join(sources.digest(ARMENI, part) for part in (self.type, "texts"))

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """A reader who finds the first list hard and knows the second by heart."""
        return (_score_nouns(example, first=1.0, second=0.0),)

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """A reader without memory: every noun is as surprising as every other."""
        level = float(rng.uniform(1.0, 9.0))
        return (_score_nouns(example, first=level, second=level),)

    def _conditions(self) -> tuple[str, ...]:
        return CONDITIONS if self.condition == "all" else (self.condition,)

    def _material(self, seed: int, sources: Sources) -> tuple[list[list[str]], Frame, int]:
        if self.stimuli == "own":
            own = read_own()
            full = own_lists(own["nouns"], self.type, seed)
            # the shift is made on ten nouns before the list is cut, as in the paper
            lists = [items[: self.length] for items in full]
            return lists, own_frame(own, self.scenario, self.intervening), CONTROL_SEED + seed
        lists = json.loads(sources.path(ARMENI, self.type).read_text(encoding="utf-8"))[f"n{self.length}"]
        texts = json.loads(sources.path(ARMENI, "texts").read_text(encoding="utf-8"))
        return lists, armeni_frame(texts, self.scenario, self.intervening), CONTROL_SEED

    def _trial(self, frame: Frame, index: int, condition: str, first: list[str], second: list[str]) -> Example:
        start = f" {', '.join(first)}. {frame.between} "
        continuation = f"{start}{', '.join(second)}."
        base = index // SHIFTS
        return Example(
            id=f"{self.type}-n{self.length}-{index:03d}-{condition}",
            requests=(Score(context=frame.preface, continuation=continuation),),
            target={
                "condition": condition,
                "first": _spans(first, offset=1),
                "second": _spans(second, offset=len(start)),
            },
            tags={"condition": condition},
            cluster=f"base-{base:02d}",
        )


def _check_split(split: str) -> None:
    if split != "test":
        raise UsageError(
            f"recall/noun_list has no split {split!r}; it has test ({BASES} base lists, nothing to train on)."
        )


def _spans(nouns: list[str], offset: int) -> list[list[int]]:
    """[start, end) of each noun in `w1, w2, ...` that begins at character `offset`."""
    spans = []
    for noun in nouns:
        spans.append([offset, offset + len(noun)])
        offset += len(noun) + len(", ")
    return spans


def _score_nouns(example: Example, first: float, second: float) -> Scored:
    """One token for every noun, with the given surprisal in nats."""
    spans = [*example.target["first"], *example.target["second"]]
    levels = [-first] * len(example.target["first"]) + [-second] * len(example.target["second"])
    return Scored(logprobs=tuple(levels), spans=tuple((start, end) for start, end in spans))
