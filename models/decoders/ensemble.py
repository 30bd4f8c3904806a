"""decoders/ensemble: another decoder on the average of several models' laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Decoder, Meter, Setting, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt, Step, Want
from harness.models.decoders._draft_model import load_beside
from harness.models.decoders.best_of import inner_fingerprint, prepared

# M models, R rows, V vocabulary
LAST = Want()


@decoder(
    lossless="no",
    needs=(),
    paper="Sutskever et al. 2014, arXiv:1409.3215 (ensembles by averaged probabilities)",
    differs="none",
)
class Ensemble:
    """p(v | x, y) = mean over M models of p_m(v | x, y); `models` are specs joined by plus signs, besides the target.

    Differs from the paper: none.
    """

    models: str
    inner: str = "greedy"

    def prepare(self, setting: Setting, target: Any) -> Decoder:
        """Load the other models; all must share the target's tokenizer."""
        others = []
        for spec in self.models.split("+"):
            others.append(load_beside(spec, setting, target).lm)
        return Averaging(prepared(self.inner, setting, target), tuple(others))

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Digests of every other model and of the inner decoder."""
        found = dict(inner_fingerprint(self.inner, setting))
        for index, spec in enumerate(self.models.split("+")):
            digests = registry.create("model", spec).fingerprint(setting)
            found |= {f"ensemble.{index}.{key}": value for key, value in digests.items()}
        return found

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Only `prepare` loads the other models."""
        raise UsageError("ensemble: call prepare(setting, target) first; it loads the other models.")


@final
@dataclass(frozen=True, slots=True)
class Averaging:
    """The inner decoder on the average of the target and the others."""

    inner: Decoder
    others: tuple[TokenModel, ...]

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Continue each prompt under the averaged law."""
        return self.inner.decode(AverageModel((lm, *self.others)), prompts, seeds=seeds, meter=meter)


@final
class AverageModel:
    """A TokenModel whose law is the mean of its members' laws; a state is the tuple of theirs."""

    def __init__(self, members: Sequence[TokenModel]) -> None:
        sizes = {member.vocabulary for member in members}
        if len(sizes) > 1:
            raise UsageError(f"ensemble: vocabularies of {sorted(sizes)} tokens cannot be averaged.")
        self.members = tuple(members)
        self.vocabulary, self.eos = members[0].vocabulary, members[0].eos
        self.context_length = min(member.context_length for member in members)
        # weights over one source mean the same in every member, so that a coverage penalty may read their average
        self.cross_attention = all(bool(getattr(member, "cross_attention", False)) for member in members)

    def start(self, rows: int, capacity: int) -> Any:
        """Empty states."""
        return tuple(member.start(rows, capacity) for member in self.members)

    def step(self, state: Any, tokens: Sequence[Sequence[int]], want: Want = LAST, parents: Any = None) -> Step:
        """Step every member; logits are the logarithm of the mean law."""
        if want.hidden or (want.attention and not self.cross_attention):
            raise UsageError("ensemble: hidden states and self-attention of several models cannot be averaged.")
        steps = [member.step(part, tokens, want, parents) for member, part in zip(self.members, state, strict=True)]
        after = tuple(step.state for step in steps)
        attention = {
            layer: torch.stack([step.attention[layer].mean(1, keepdim=True) for step in steps]).mean(0)
            for layer in want.attention
        }
        if steps[0].logits is None:
            return Step(after, attention=attention)
        laws = torch.stack([torch.softmax(step.logits.double(), -1) for step in steps])
        return Step(after, laws.mean(0).clamp(min=1e-300).log(), attention=attention)

    def length(self, state: Any) -> list[int]:
        """Tokens in each row."""
        return self.members[0].length(state[0])

    def rewind(self, state: Any, lengths: Sequence[int]) -> Any:
        """Cut each row."""
        return tuple(member.rewind(part, lengths) for member, part in zip(self.members, state, strict=True))

    def keep_path(self, state: Any, paths: Sequence[Sequence[int]]) -> Any:
        """Keep the chosen nodes."""
        return tuple(member.keep_path(part, paths) for member, part in zip(self.members, state, strict=True))

    def select(self, state: Any, rows: Sequence[int]) -> Any:
        """Copy rows."""
        return tuple(member.select(part, rows) for member, part in zip(self.members, state, strict=True))
