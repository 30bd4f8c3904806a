"""What does a network of transformers take, and does it read as a causal model does? A few short passes tell.

Names and defaults of transformers change from release to release and from family to family, and a wrong one often
raises nothing. So each way to call a network is tried on a short row and kept when it gives the logits of one plain
pass over the whole row: in pieces, after a cut, from a copy, and with another row read in between.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from harness.api.errors import DataError
from harness.models.lms._hf_forward import Interface, Kind, forward

# P positions, V vocabulary

# names that families give to what they remember where its type does not say so (RoBERTa, RWKV, older releases)
MEMORIES = ("cache", "past_key_values", "state")
POSITIONS = ("position_ids", "cache_position")
ROW = 24  # tokens that are tried
# how far two passes may be apart, as a share of the spread of the logits; a wrong call is off by 0.01 and more
TOLERANCE = 1e-3
# of half precision, and of the median position there: one expert chosen otherwise moves one position much
HALF_TOLERANCE = 0.1
# what transformers raises where a memory or an argument does not fit; the next way is tried, and the last one told
MISFITS = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


@torch.inference_mode()
def probe(network: Any, context_length: int, given: Mapping[str, Any] | None = None) -> Interface:
    """The first way to call the network that is right; `given` are further inputs of every pass (an encoder's outputs).

    Errors: DataError where a token sees later ones, or where no way gives the logits of a plain pass.
    """
    plain = _plain(network)
    length = min(ROW, context_length, plain.boundary or ROW)
    rows = _rows(network, length)
    seen = length * 2 // 3
    changed = [*rows[0][:seen], *rows[1][seen:]]
    try:
        logits, other, moved_PV = _whole(network, plain, (*rows, changed), given or {})
    except MISFITS as problem:
        raise DataError(f"{_name(network)}: a plain pass over {length} tokens fails ({_told(problem)}).") from problem
    # a network whose logits are not finite is told by the first request
    finite = not bool((logits.isnan() | logits.isposinf()).any())
    limit = _limit(network) if finite else float("inf")
    moved = _apart(moved_PV[:seen], logits[:seen], network)
    if moved > limit:
        raise DataError(
            f"{_name(network)} has no causal attention: when the tokens after position {seen} changed, the logits "
            f"before it moved by {moved:.0%} of their spread, so that its scores are not those of a next token. Give "
            f"a causal checkpoint (of BERT's families: one with is_decoder in its config.json)."
        )
    told = "nothing was tried"
    for way in _ways(network, plain):
        try:
            off = _trial(network, way, rows, (logits, other), given or {})
        except MISFITS as problem:
            told = _told(problem)
            continue
        if not off > limit:
            return way
        told = f"reading in pieces moved the logits by {off:.0%} of their spread"
    raise DataError(f"{_name(network)}: no way to call it gives the logits of one plain pass over a row ({told}).")


def _plain(network: Any) -> Interface:
    """The plain pass: a whole row, nothing remembered."""
    accepted = inspect.signature(network.forward).parameters
    tokens = "decoder_input_ids" if network.config.is_encoder_decoder else "input_ids"
    keeps = "logits_to_keep" in accepted
    return Interface(tokens, "", "none", False, (), keeps, _boundary(network.config.get_text_config(decoder=True)))


def _ways(network: Any, plain: Interface) -> Iterator[Interface]:
    """From the fastest to the slowest."""
    accepted = inspect.signature(network.forward).parameters
    names = [name for name, each in accepted.items() if "Cache" in str(each.annotation)]
    memory = next((name for name in (*names, *MEMORIES) if name in accepted), "")
    told = tuple(name for name in POSITIONS if name in accepted)
    kinds: list[Kind] = []
    if memory:
        # a stateful network says so itself; recording came with transformers 5
        kinds += [] if network._is_stateful else ["keys"]
        kinds += ["recorded"] if hasattr(DynamicCache, "activate_past_recording") else []
        kinds += ["own"]
    for keeps in dict.fromkeys((plain.keeps, False)):
        for kind in kinds:
            for several in (True, False) if kind == "own" else (True,):
                for positions in dict.fromkeys((told, ())):
                    yield Interface(plain.tokens, memory, kind, several, positions, keeps, plain.boundary)
        yield replace(plain, keeps=keeps)


def _trial(
    network: Any,
    way: Interface,
    rows: tuple[list[int], list[int]],
    expected: tuple[Tensor, Tensor],
    given: Mapping[str, Any],
) -> float:
    """How far one way's logits are from those of the plain pass, at most."""
    length, off = len(rows[0]), 0.0

    def read(memory: Any, start: int, end: int, row: int = 0) -> Any:
        nonlocal off
        step = 1 if start and not way.several and way.kind != "none" else end - start
        for begin in range(start, end, step):
            tokens, wanted = rows[row][begin : begin + step], list(range(step))
            memory, result = forward(network, way, memory, begin, tokens, wanted=wanted, given=given)
            off = max(off, _apart(result.value.logits[0], expected[row][begin : begin + step], network))
        return memory

    # shorter than a convolution is wide
    memory = read(None, 0, 2)
    # some networks keep what they remember inside, where rows would meet
    read(None, 0, 1, row=1)
    if way.kind == "none":
        read(None, 0, length)
        return off
    middle = length * 2 // 3
    memory = read(memory, 2, middle)
    if way.cuts:
        if way.kind == "recorded" and not memory.is_croppable:
            raise ValueError("what it remembers cannot be cut")
        memory.crop(3 - middle)
        memory = read(memory, 3, middle)
    branch = copy.deepcopy(memory)
    read(memory, middle, length)
    read(branch, middle, length)
    return off


def _whole(network: Any, plain: Interface, rows: Sequence[list[int]], given: Mapping[str, Any]) -> list[Tensor]:
    """Logits [P, V] of rows in one batch, or one by one where further inputs are those of one row."""
    if given:
        return [forward(network, plain, None, 0, row, given=given)[1].value.logits[0] for row in rows]
    return list(network(**{plain.tokens: torch.tensor(rows, device=network.device)}, use_cache=False).logits)


def _rows(network: Any, length: int) -> tuple[list[int], list[int]]:
    """Two rows that differ at every position, without the special tokens that some families count positions by."""
    config = network.config.get_text_config(decoder=True)
    special: set[int] = set()
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        token = getattr(config, name, None)
        special |= set(token) if isinstance(token, list) else {token} if isinstance(token, int) else set()
    words = [token for token in range(min(config.vocab_size, 1000)) if token not in special] or [0]
    places = [7 * place + place * place for place in range(length)]
    return [words[(3 + place) % len(words)] for place in places], [words[(4 + place) % len(words)] for place in places]


def _apart(found_PV: Tensor, expected_PV: Tensor, network: Any) -> float:
    """Distance of logits as a share of their spread over the vocabulary: the largest over positions."""
    # minus infinity forbids a word (Marian's padding)
    found_PV, expected_PV = (each.double().masked_fill(each == -torch.inf, 0.0) for each in (found_PV, expected_PV))
    spread_P = (expected_PV - expected_PV.mean(-1, keepdim=True)).norm(dim=-1)
    share_P = (found_PV - expected_PV).norm(dim=-1) / spread_P.clamp(min=1e-6)
    share_P = share_P.nan_to_num(nan=torch.inf)
    return float(share_P.median() if _half(network) else share_P.max())


def _limit(network: Any) -> float:
    return HALF_TOLERANCE if _half(network) else TOLERANCE


def _half(network: Any) -> bool:
    return network.dtype in (torch.float16, torch.bfloat16)


def _name(network: Any) -> str:
    return f"{type(network).__name__} (model_type {network.config.model_type})"


def _told(problem: Exception) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split())[:150]}"


def _boundary(config: Any) -> int:
    """The length beyond which LongRoPE turns all positions by other angles; 0 where there is none."""
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    found = set()
    # one set of angles, or one for each type of layers
    for entry in (rope, *(value for value in rope.values() if isinstance(value, Mapping))):
        if (entry.get("rope_type") or entry.get("type")) == "longrope":
            original = entry.get("original_max_position_embeddings")
            original = original or getattr(config, "original_max_position_embeddings", None)
            found.add(int(original or config.max_position_embeddings))
    if len(found) > 1:
        raise DataError(f"LongRoPE with several original lengths ({sorted(found)}) is not supported.")
    return next(iter(found), 0)
