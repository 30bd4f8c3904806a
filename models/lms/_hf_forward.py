"""How is one row read by a network of transformers? What its forward pass takes and remembers, and the call itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import DynamicCache, EncoderDecoderCache

from harness.api.types import Want

# keys: all keys and values, cut at will; recorded: cut as far back as the last cut; own: as the network makes it,
# never cut; none: nothing, the whole row is read by every step
Kind = Literal["keys", "recorded", "own", "none"]
REWINDS: Mapping[Kind, str] = {
    "keys": "cuts keys and values",
    "recorded": "cuts what was recorded since the last cut",
    "own": "reads the kept tokens again",
    "none": "keeps nothing and reads the whole row at every step",
}


@dataclass(frozen=True, slots=True)
class Interface:
    """How a network is called; `harness.models.lms._hf_probe` finds it out."""

    tokens: str  # forward's argument for token ids
    memory: str  # forward's argument, and the output's field, for what is remembered
    kind: Kind
    several: bool  # more than one token may follow a memory in one pass
    positions: tuple[str, ...]  # arguments that are told where in the row the tokens stand
    keeps: bool  # logits of chosen positions alone can be asked for
    boundary: int = 0  # tokens; a longer row is read with other rotary angles from its first token on; 0: none

    @property
    def cuts(self) -> bool:
        """Whether tokens can be taken off a memory."""
        return self.kind in ("keys", "recorded")

    def beyond(self, length: int) -> bool:
        """Whether a row of that length is read with the angles of long rows."""
        return 0 < self.boundary < length


@dataclass(frozen=True, slots=True)
class Result:
    """A forward pass's outputs; `whole` says that its logits cover every position."""

    value: Any
    whole: bool


def forward(
    network: Any,
    way: Interface,
    memory: Any,
    encoded: int,
    tokens: Sequence[int],
    *,
    wanted: Sequence[int] = (),
    want: Want | None = None,
    given: Mapping[str, Any] | None = None,
) -> tuple[Any, Result]:
    """Read tokens after the `encoded` ones that `memory` holds; the new memory, and outputs at `wanted` positions."""
    device = network.device
    if memory is None:
        memory = _empty(network, way.kind)
    # a head over every position of a long prompt would be the largest tensor of all
    keeps = way.keeps and len(wanted) > 0
    places = torch.arange(encoded, encoded + len(tokens), device=device)
    result = network(
        **{way.tokens: torch.tensor([list(tokens)], dtype=torch.long, device=device)},
        **({way.memory: memory} if memory is not None else {}),
        **{name: places if name == "cache_position" else places.unsqueeze(0) for name in way.positions},
        **(given or {}),
        **({"logits_to_keep": torch.tensor(wanted, device=device)} if keeps else {}),
        use_cache=way.kind != "none",
        **({"output_hidden_states": True} if want is not None and want.hidden else {}),
        **({"output_attentions": True} if want is not None and want.attention else {}),
    )
    # by its name, since an output is a mapping that leaves out what is None
    return (None if way.kind == "none" else result[way.memory]), Result(result, not keeps)


def _empty(network: Any, kind: Kind) -> Any:
    """A memory to be filled; None where the network makes its own."""
    if kind in ("own", "none"):
        return None
    if kind == "keys":
        # without a configuration every layer keeps all keys, so that a sliding window can be cut at will as well
        memory = DynamicCache()
        return EncoderDecoderCache(memory, DynamicCache()) if network.config.is_encoder_decoder else memory
    memory = DynamicCache(config=network.config)
    memory.activate_past_recording()
    return memory
