"""How much better several networks of one kind answer together than one of them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, final

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Decoder, Meter, Setting
from harness.api.registry import model
from harness.api.types import Budget, Example, Generate, Request, Response
from harness.models.decoders.ensemble import AverageModel
from harness.models.decoders.greedy import Greedy
from harness.models.decoders.rerank import Rescoring
from harness.models.seq2seq._fitted import Fitted
from harness.models.seq2seq._learner import SequenceToSequence

SEEDS_APART = 1_000  # between members, so that those of neighbouring seeds are not shared


@model(
    doors=("generate",),
    paper="Sutskever, Vinyals, Le 2014, Sequence to Sequence Learning with Neural Networks, arXiv:1409.3215",
    licence="Apache-2.0",
    learns=True,
    decodes=True,
    offers=(),
    differs="Any network of this folder may be the member; each gets the whole training budget.",
)
class Ensemble:
    """`count` fits of `member` that differ in their seed, so in initial weights and order of batches.

    `by=average`: the decoder searches under the mean of the members' laws, as the paper's ensembles do. `by=rescore`:
    the first member writes an n-best list (`beam:width=10,nbest=10`), which the others' mean reorders, with `weight` on
    their log-probability; 0.5 is the paper's even average. Member 0 has the run's own seed, so that it is the single
    model of the same seed.

    Sutskever et al. 2014, arXiv:1409.3215, sections 3.6 and 3.7 (5 networks; 33.27 to 34.81 BLEU on WMT14 en-fr).
    Differs from the paper: any network of this folder may be the member; each gets the whole training budget.
    """

    member: str = "seq2seq/rnn_attention"
    count: int = 2
    by: Literal["average", "rescore"] = "average"
    weight: float = 0.5

    def __post_init__(self) -> None:
        if self.count < 2 or not 0 <= self.weight <= 1:
            raise UsageError(
                f"seq2seq/ensemble needs count >= 2 and 0 <= weight <= 1, not {self.count}, {self.weight}."
            )

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The member's."""
        return {"ensemble": "1", **self._learner().fingerprint(setting)}

    def fit(
        self,
        train: Callable[[], Iterator[Example]],
        validation: Callable[[], Iterator[Example]],
        *,
        seed: int,
        budget: Budget,
        setting: Setting,
        meter: Meter,
    ) -> Committee:
        """Fit every member, one after the other, each in a folder of its own."""
        learner, members = self._learner(), []
        for place in range(self.count):
            folder = None if setting.folder is None else setting.folder / f"member-{place}"
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)

            def watched(share: float, text: str, place: int = place) -> None:
                setting.progress((place + share) / self.count, f"member {place + 1} of {self.count}: {text}")

            members.append(
                learner.fit(
                    train,
                    validation,
                    seed=seed + SEEDS_APART * place,
                    budget=budget,
                    setting=replace(setting, folder=folder, progress=watched),
                    meter=meter,
                )
            )
        return Committee(members, self.by, self.weight)

    def _learner(self) -> SequenceToSequence:
        made = registry.create("model", self.member)
        if not isinstance(made, SequenceToSequence):
            raise UsageError(f"seq2seq/ensemble: {self.member!r} is no network that is trained here (seq2seq/*).")
        return made


@final
class Committee:
    """Fitted members behind one `generate` door."""

    def __init__(self, members: Sequence[Fitted], by: str, weight: float) -> None:
        self.members, self.by, self.weight = tuple(members), by, weight
        if len({member.units.save() for member in members}) > 1:
            raise UsageError("seq2seq/ensemble: the members learnt different vocabularies, so no mean has a meaning.")
        mean = AverageModel([member.lm for member in members[0 if by == "average" else 1 :]])
        self.lm = mean if by == "average" else members[0].lm
        self._judge = mean

    @property
    def identity(self) -> Mapping[str, Any]:
        """The first member's, with the parameters of all."""
        first, *others = (dict(member.identity) for member in self.members)
        whole = first["parameters"] + sum(other["parameters"] for other in others)
        return {**first, "parameters": whole, "members": len(self.members), "ensemble": self.by}

    def size(self, request: Request) -> int:
        """A member's, for each of them."""
        return len(self.members) * self.members[0].size(request)

    def generate(
        self, requests: Sequence[Generate], *, decoder: Decoder | None, seeds: Sequence[int], meter: Meter
    ) -> list[Response]:
        """Generated for each text; a Failure for a conversation or an array."""
        chosen = decoder or Greedy()
        if self.by == "rescore":
            chosen = Rescoring(chosen, self._judge, self.weight)
        return self.members[0].generate(requests, decoder=Under(chosen, self.lm), seeds=seeds, meter=meter)


@final
class Under:
    """A decoder that drives another model than the one that it is handed."""

    def __init__(self, inner: Decoder, lm: Any) -> None:
        self._inner, self._lm = inner, lm

    def decode(self, lm: Any, prompts: Any, *, seeds: Sequence[int], meter: Meter) -> Any:
        """The inner decoder on its own model."""
        return self._inner.decode(self._lm, prompts, seeds=seeds, meter=meter)
