"""How does a causal language model give one vector for a text? Hidden states of one layer, through the TokenModel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, final

import torch
from torch import Tensor

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Meter, Setting
from harness.api.types import Want
from harness.models.embedders._vectors import EncoderModel

# B batch, T time, D width

Pooling = Literal["mean", "last"]


def put_up(
    lm: str, setting: Setting, *, pooling: Pooling, layer: int, wrap: Callable[[str], str] | None = None
) -> EncoderModel:
    """The language model that the spec `lm` names, as an embedder; `wrap` puts a text into a prompt."""
    loaded = registry.create("model", lm).load(setting)
    if not hasattr(loaded, "lm") or not hasattr(loaded, "tokenizer"):
        raise UsageError(f"lm={lm} does not run token by token here, so its hidden states cannot be read.")
    return EncoderModel(CausalEncoder(loaded, pooling, layer, wrap))


def fingerprint(lm: str, setting: Setting) -> Mapping[str, str]:
    """The language model's own digests."""
    return {**registry.create("model", lm).fingerprint(setting), "embedder": "1"}


@final
class CausalEncoder:
    """The mean, or the last, of the hidden states of one layer (-1: after the final norm, 0: token embeddings)."""

    def __init__(self, loaded: Any, pooling: Pooling, layer: int, wrap: Callable[[str], str] | None) -> None:
        self.loaded, self.pooling, self.layer, self.wrap = loaded, pooling, layer, wrap
        # token embeddings need one layer to run, not all of them
        self.lm = loaded.lm.first_layers(1) if layer == 0 and hasattr(loaded.lm, "first_layers") else loaded.lm

    @property
    def facts(self) -> Mapping[str, Any]:
        """The language model's facts, layer and pooling."""
        return {**self.loaded.identity, "pooling": self.pooling, "layer": self.layer}

    def tokens(self, text: str) -> list[int]:
        """Ids with what the tokenizer always adds; a text that exceeds the context is refused, never cut."""
        ids, _ = self.loaded.tokenizer.encode(self.wrap(text) if self.wrap else text)
        if not ids:
            first = self.loaded.tokenizer.bos if self.loaded.tokenizer.bos is not None else self.loaded.tokenizer.eos
            ids = [first if first is not None else min(self.lm.eos)]
        if len(ids) > self.lm.context_length:
            raise ValueError(f"the text has {len(ids)} tokens, but the context holds {self.lm.context_length}")
        return list(ids)

    def vectors(self, rows: Sequence[Sequence[int]], meter: Meter) -> Tensor:
        """One prefill for all rows."""
        meter.count("model_calls")
        state = self.lm.start(len(rows), max(map(len, rows)))
        step = self.lm.step(state, rows, Want(logits="none", hidden=(self.layer,)))
        states_BTD = step.hidden[self.layer].float()
        lengths_B = torch.tensor([len(row) for row in rows], device=states_BTD.device)
        if self.pooling == "last":
            return states_BTD[torch.arange(len(rows), device=states_BTD.device), lengths_B - 1]
        kept_BT = torch.arange(states_BTD.shape[1], device=states_BTD.device) < lengths_B[:, None]
        return states_BTD.masked_fill(~kept_BT[..., None], 0.0).sum(1) / lengths_B[:, None]
