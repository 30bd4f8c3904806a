"""Whether a language model is surprised where readers slow down: at the word that ends a garden path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, Response, Score, Scored

if TYPE_CHECKING:
    import numpy as np

_DIGESTS = {
    "items_ClassicGP.csv": "484631a2f6201a0818d6c5faf0c9cb2964bd5bebe3de68fcb4392c9f363b5ba5",
    "items_AttachmentAmbiguity.csv": "dc1f8a956e17faeadf9460d275d6398b39112ac1ab6a043d5fa5c88dce96fbb1",
    "items_RelativeClause.csv": "71990d8ea173aeb4042aabfb6b002e286680e1e67cfa005d9bb0be1ff5d80aeb",
    "items_Agreement.csv": "466204e5225cee4039ccb140ec3a09e0b288a21b6b151d3fd71d0ef80b3ea2c2",
    "surprisal_gpt2_ClassicGP.csv.gz": "75325d7d1a3db25606feb0f1896947116e9d12fd616a2854a839d9eb1ef70581",
    "surprisal_gpt2_AttachmentAmbiguity.csv.gz": "ae8db64044eafc072f2b60b9f2c7b8831caea1ba087f474c5adbf093a099dc44",
    "surprisal_gpt2_RelativeClause.csv.gz": "be8cc564b448ae3ae9da0bd508c2010ab7ce9bffa2191a44f2b9e1c0d1528e1f",
    "surprisal_gpt2_Agreement.csv.gz": "a849f65d367a3a13b140714b3c5ee35159d99aeb1ae99be721759b3d89f0b6eb",
    "surprisal_lstm_ClassicGP.csv.gz": "8a58bce850c1e7b105279b4a09ac32d19274a514d8b625da300b5e6c7d14f09b",
    "surprisal_lstm_AttachmentAmbiguity.csv.gz": "36287d62bee7596cbdbdf135cd4f9efcce0adc88d244b67a8bf313a9b4799eb5",
    "surprisal_lstm_RelativeClause.csv.gz": "71a5268e0fecf6968f99e3799b0fd2c8b0b9649d3f04e06b687e5ab9aba10e04",
    "surprisal_lstm_Agreement.csv.gz": "cc192f7ee00af212bad3aa7d5f74febf095e202c383ad3943cda50705a292106",
    "effects_by_item.csv": "de0debd767918d454aeb25a56897525333746f222549468dad51ec92d8be9f4e",
}
# every file is a part of the one data set; `examples` offers them as the split "test"
DATA = Dataset(
    name="garden_path_sap",
    files={name: DataFile(f"garden_path_sap/{name}", sha256) for name, sha256 in _DIGESTS.items()},
    licence="MIT",
)
REGIONS = 3  # the critical word and two of spill-over


class Contrast(NamedTuple):
    """Two versions of a sentence, told apart by their condition, and the name of the published effect."""

    subset: str
    easy: str
    hard: str
    coefficient: str


CONSTRUCTIONS = {
    "main_verb_reduced_relative": Contrast("ClassicGP", "MVRR_UAMB", "MVRR_AMB", "GPE_MVRR"),
    "noun_phrase_sentence": Contrast("ClassicGP", "NPS_UAMB", "NPS_AMB", "GPE_NPS"),
    "noun_phrase_zero": Contrast("ClassicGP", "NPZ_UAMB", "NPZ_AMB", "GPE_NPZ"),
    "attachment_high": Contrast("AttachmentAmbiguity", "AttachMulti", "AttachHigh", "GPE_high"),
    "attachment_low": Contrast("AttachmentAmbiguity", "AttachMulti", "AttachLow", "GPE_low"),
    "relative_clause": Contrast("RelativeClause", "RC_Subj", "RC_Obj", "RC"),
    "agreement": Contrast("Agreement", "AGREE", "UNAGREE", "Agr"),
}


@task(
    version=1,
    doors=("score",),
    paper="Huang et al. 2024, Large-scale benchmark yields no evidence that language model surprisal explains "
    "syntactic disambiguation difficulty, Journal of Memory and Language 137",
    licence="MIT",
    chance=0.0,
    differs="The paper turns surprisal into milliseconds with a regression on the fillers' reading times, which are "
    "not in the data; effects stay in bits here and are correlated with the published effects in milliseconds. "
    "A word's surprisal sums its tokens and includes the punctuation attached to it, as published.",
)
class GardenPath:
    """Seven constructions of the SAP benchmark: a hard sentence less its easy twin, at the same critical word.

    The effect is the difference in surprisal summed over the critical word and the two after it. The headline is its
    correlation over items with the effect on reading time; the published GPT-2 and LSTM surprisals stand beside it.
    """

    construction: str = ""  # one of seven (`noun_phrase_zero`), or empty for all

    @property
    def door(self) -> str:
        """Whole sentences are scored; the metrics pick the words."""
        return "score"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Agreement with readers and published models, then the effects themselves."""
        return (
            "effect_correlation:reference=human",
            "effect_correlation:reference=gpt2",
            "effect_correlation:reference=lstm",
            "surprisal_effect:region=critical",
            "surprisal_effect:region=spillover",
            "published_effect:reference=human",
            "published_effect:reference=gpt2",
            "published_effect:reference=lstm",
        )

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """One example an item and construction: the easy sentence, then the hard one."""
        del seed  # nothing is drawn
        if split != "test":
            raise UsageError(f"language_modelling/garden_path has no split {split!r}; it has test alone.")
        if self.construction and self.construction not in CONSTRUCTIONS:
            raise UsageError(
                f"language_modelling/garden_path has no construction {self.construction!r}; "
                f"it has {', '.join(CONSTRUCTIONS)}."
            )
        human = _human_effects(sources)
        for name, contrast in CONSTRUCTIONS.items():
            if self.construction in ("", name):
                yield from _contrasted(name, contrast, human, sources)

    def data_digest(self, split: str, sources: Sources) -> str:
        """The digests of all files, joined."""
        return "+".join(sources.digest(DATA, name) for name in DATA.files)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """Surprised in proportion to the readers' delay, in one region of one sentence."""
        delay = sum(example.target["human"])
        return _critical(example, min(delay, 0.0), -max(delay, 0.0))

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Random surprisal at the critical word."""
        return _critical(example, -float(rng.exponential()), -float(rng.exponential()))


def _contrasted(
    name: str, contrast: Contrast, human: Mapping[tuple[str, str], list[float]], sources: Sources
) -> Iterator[Example]:
    sentences = _sentences(contrast.subset, sources)
    published = {model: _surprisals(contrast.subset, model, sources) for model in ("gpt2", "lstm")}
    for item in dict.fromkeys(item for item, _ in sentences):
        pair = [sentences[item, condition] for condition in (contrast.easy, contrast.hard)]
        yield Example(
            id=f"{name}-{item}",
            requests=tuple(Score("", sentence) for sentence, _ in pair),
            target={
                "places": [_places(sentence, word) for sentence, word in pair],
                "human": human[contrast.coefficient, item],
                **{model: _difference(bits, pair) for model, bits in published.items()},
            },
            tags={"construction": name},
            # one item's versions share their words, whatever the construction
            cluster=f"{contrast.subset}-{item}",
        )


def _sentences(subset: str, sources: Sources) -> dict[tuple[str, str], tuple[str, int]]:
    """(item, condition) -> the sentence and the index of its critical word."""
    found: dict[tuple[str, str], tuple[str, int]] = {}
    for row in sources.rows(DATA, f"items_{subset}.csv"):
        item, condition = str(row["item"]), str(row["condition"])
        if subset == "ClassicGP":
            found[item, condition] = (_plain(row["unambiguous"]), int(row["disambPositionUnamb"]) - 1)
            ambiguous = condition.replace("UAMB", "AMB")
            found[item, ambiguous] = (_plain(row["ambiguous"]), int(row["disambPositionAmb"]) - 1)
        else:
            # positions count from 1; the released 0-based column is off by one in these subsets
            position = row["targetPosition" if subset == "RelativeClause" else "disambPosition"]
            found[item, condition] = (_plain(row["Sentence"]), int(position) - 1)
    return found


def _surprisals(subset: str, model: str, sources: Sources) -> dict[tuple[str, int], float]:
    """(sentence, word index) -> published surprisal in bits."""
    rows = sources.rows(DATA, f"surprisal_{model}_{subset}.csv.gz")
    return {(_plain(row["Sentence"]), int(row["word_pos"])): float(row["sum_surprisal_base2"]) for row in rows}


def _human_effects(sources: Sources) -> dict[tuple[str, str], list[float]]:
    """(coefficient, item) -> posterior mean delay in ms at each region."""
    effects: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * REGIONS)
    for row in sources.rows(DATA, "effects_by_item.csv"):
        if row["source"] == "human":
            effects[str(row["coef"]), str(row["item"])][int(row["ROI"])] = float(row["mean"])
    return dict(effects)


def _difference(bits: Mapping[tuple[str, int], float], pair: list[tuple[str, int]]) -> list[float]:
    (easy, easy_word), (hard, hard_word) = pair
    return [bits[hard, hard_word + region] - bits[easy, easy_word + region] for region in range(REGIONS)]


def _places(sentence: str, word: int) -> list[tuple[int, int]]:
    """For each region, the characters from the end of the word before (so with the space) to the word's own end."""
    ends = [0]
    for text in sentence.split(" "):
        ends.append(ends[-1] + len(text) + (len(ends) > 1))
    return [(ends[index], ends[index + 1]) for index in range(word, word + REGIONS)]


def _plain(sentence: str) -> str:
    return str(sentence).replace("\\'", "'").strip()


def _critical(example: Example, *logprobs: float) -> tuple[Response, ...]:
    """Responses that are certain of every word but the critical one, whose log-probability is given."""
    answers: list[Response] = []
    for request, places, logprob in zip(example.requests, example.target["places"], logprobs, strict=True):
        assert isinstance(request, Score)
        start, end = places[0]
        spans = ((0, start), (start, end), (end, len(request.continuation)))
        answers.append(Scored((0.0, logprob, 0.0), spans))
    return tuple(answers)
