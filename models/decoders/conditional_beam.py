"""decoders/conditional_beam: beam search for the likeliest output among those with an attribute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from harness.api.errors import UsageError
from harness.api.protocols import Decoder, Meter, Setting, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._beam import Guide, Scoring, beam_search
from harness.models.decoders._prefix_classifier import Belief, PrefixClassifier, load
from harness.models.decoders.beam import decoded
from harness.models.lms._folder import digest


@decoder(
    lossless="no",
    needs=(),
    paper="Yoshida et al. 2023, MAP's not dead yet, arXiv:2311.08817; thesis arXiv:2408.16241",
    differs="the classifier is a GRU on tokens, not a head on the model's hidden states",
)
class ConditionalBeam:
    """Keep prefixes by log P(y_1..t | x) + log P(A = 1 | y_1..t, x), with A one of three attributes.

    "non_empty": the output has a token. "non_repetitive": no n-gram of `ngram` tokens occurs more than `repeats`
    times. "length": the output has between `shortest` and `longest` tokens. Whether a finished output has them is
    plain to see; of a prefix it is known only once they are lost, so P is 1 until then, and what is returned has the
    attribute if anything found has. With `classifier`, the file of a trained prefix classifier
    (benchmarks/prefix_attributes.py makes one), P of a prefix that goes on is its belief, so that the search turns away
    from prefixes that will end badly.
    Differs from the paper: the classifier is a GRU on tokens, not a head on the model's hidden states.
    """

    attribute: Literal["non_empty", "non_repetitive", "length"] = "non_empty"
    width: int = 4
    alpha: float = 0.0
    ngram: int = 4  # tokens
    repeats: int = 1
    shortest: int = 1  # tokens
    longest: int = 1_000_000  # tokens
    classifier: Path | None = None

    def __post_init__(self) -> None:
        if self.width < 1 or self.ngram < 1 or self.repeats < 1 or not 0 <= self.shortest <= self.longest:
            raise UsageError("conditional_beam needs width, ngram, repeats >= 1 and 0 <= shortest <= longest.")

    def prepare(self, setting: Setting, target: Any) -> Decoder:
        """Load the classifier, if there is one."""
        if self.classifier is None:
            return self
        model, facts = load(self.classifier)
        if facts.get("attribute") not in (None, str(self.attribute)):
            raise UsageError(f"{self.classifier} was trained for {facts['attribute']!r}, not for {self.attribute!r}.")
        return Believing(self, model)

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The classifier's digest."""
        return {} if self.classifier is None else {"classifier": digest(self.classifier)}

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Search for each prompt; an output is returned even where nothing with the attribute was found."""
        if self.classifier is not None:
            raise UsageError("conditional_beam: call prepare(setting, target) first; it loads the classifier.")
        beams = beam_search(lm, prompts, self.width, Scoring(self.alpha), meter=meter, guide=self.guide())
        return [decoded(beam) for beam in beams]

    def guide(self) -> Guide:
        """The attribute as a guide."""
        if self.attribute == "non_empty":
            return Between(1, 1_000_000)
        if self.attribute == "length":
            return Between(self.shortest, self.longest)
        return Unrepeated(self.ngram, self.repeats)


@final
@dataclass(frozen=True, slots=True)
class Believing:
    """Conditional beam search with a classifier at hand."""

    search: ConditionalBeam
    model: PrefixClassifier

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Search for each prompt; the classifier's vocabulary must be the model's."""
        if self.model.vocabulary != lm.vocabulary:
            raise UsageError(f"the classifier knows {self.model.vocabulary} tokens and the model {lm.vocabulary}.")
        plain, belief = self.search.guide(), Belief(self.model)

        def guide(prompt: Prompt, tokens: Sequence[int], finished: str) -> float:
            known = plain(prompt, tokens, finished)
            return known if finished or known < 0 else belief(prompt, tokens)

        beams = beam_search(lm, prompts, self.search.width, Scoring(self.search.alpha), meter=meter, guide=guide)
        return [decoded(beam) for beam in beams]


# a prefix that has lost the attribute; finite, so that something is still returned when nothing has it
IMPOSSIBLE = -1e6  # nats


@final
@dataclass(frozen=True, slots=True)
class Between:
    """The output's length lies in [shortest, longest]."""

    shortest: int
    longest: int

    def __call__(self, prompt: Prompt, tokens: Sequence[int], finished: str) -> float:
        """0 while possible."""
        short = bool(finished) and len(tokens) < self.shortest
        return IMPOSSIBLE if short or len(tokens) > self.longest else 0.0


@final
@dataclass(frozen=True, slots=True)
class Unrepeated:
    """No n-gram occurs more than `repeats` times."""

    ngram: int
    repeats: int

    def __call__(self, prompt: Prompt, tokens: Sequence[int], finished: str) -> float:
        """0 while possible."""
        last = tuple(tokens[-self.ngram :])
        starts = range(len(tokens) - self.ngram + 1)
        seen = sum(1 for start in starts if tuple(tokens[start : start + self.ngram]) == last)
        return IMPOSSIBLE if seen > self.repeats else 0.0


@final
@dataclass(frozen=True, slots=True)
class Constant:
    """A classifier that knows nothing: conditional search with it is plain search."""

    belief: float = 0.0

    def __call__(self, prompt: Prompt, tokens: Sequence[int], finished: str) -> float:
        """The same belief for every prefix."""
        return min(0.0, self.belief) if math.isfinite(self.belief) else 0.0
