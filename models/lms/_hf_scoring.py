"""How likely tokens are under any causal model of transformers: equal inputs once, short rows in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import final

import torch
from torch import Tensor

from harness.api.types import Want
from harness.models.lms._hf_runtime import HfRuntime
from harness.models.lms._scoring import ScoreRow, TokenScores

# B rows, T tokens, P positions, V vocabulary

# tokens of one forward pass, padding included
BATCH_TOKENS = 4096
# positions whose logits exist at once (100 MB at 49,152 words)
HEAD_ROWS = 512


@final
class HfScorer:
    """Scores rows by forward passes over whole batches.

    Rows are padded on the right, where a causal model cannot see. Rows that differ in their last token alone (four
    lettered choices after one question) are read once. A row that scores more than `HEAD_ROWS` tokens is read in
    pieces over a memory, where the model can continue by several tokens; rows on either side of the length at which
    LongRoPE changes its angles never share a batch, since the longest row of a batch decides for all.
    """

    def __init__(self, runtime: HfRuntime) -> None:
        self._runtime = runtime

    @torch.inference_mode()
    def score(self, rows: Sequence[ScoreRow]) -> list[TokenScores]:
        """One result a row, in order."""
        owners: dict[tuple[tuple[int, ...], int], list[int]] = {}
        for index, row in enumerate(rows):
            owners.setdefault((row.tokens[:-1], row.start), []).append(index)
        results: dict[int, TokenScores] = {}
        way = self._runtime.interface
        pieces = {key for key in owners if self._in_pieces(key)}
        for key in pieces:
            results |= {index: self._piecewise(rows[index]) for index in owners[key]}
        whole = [key for key in owners if key not in pieces]
        for side in ([key for key in whole if way.beyond(len(key[0])) == beyond] for beyond in (False, True)):
            for batch in _batches(side):
                for key, logits_PV in zip(batch, self._logits(batch), strict=True):
                    results |= {index: _read_off(logits_PV, rows[index].tokens[key[1] :]) for index in owners[key]}
        return [results[index] for index in range(len(rows))]

    def _in_pieces(self, key: tuple[tuple[int, ...], int]) -> bool:
        """Whether all wanted logits of a row are too many to exist at once."""
        way, (tokens, start) = self._runtime.interface, key
        # a piece of a long LongRoPE row would be read with the angles of short ones
        return way.several and len(tokens) - start >= HEAD_ROWS and not way.beyond(len(tokens))

    def _logits(self, batch: Sequence[tuple[tuple[int, ...], int]]) -> Iterator[Tensor]:
        """For each (input, start), logits at its positions from start - 1 on."""
        network = self._runtime.network
        ids_BT = torch.zeros(len(batch), max(len(tokens) for tokens, _ in batch), dtype=torch.long)
        for place, (tokens, _) in enumerate(batch):
            ids_BT[place, : len(tokens)] = torch.tensor(tokens)
        wanted = _wanted(batch)
        keeps = {"logits_to_keep": torch.tensor(wanted, device=network.device)} if self._runtime.interface.keeps else {}
        logits_BPV = network(input_ids=ids_BT.to(network.device), use_cache=False, **keeps).logits
        offset = {position: index for index, position in enumerate(wanted)} if keeps else None
        for place, (tokens, start) in enumerate(batch):
            first = start - 1 if offset is None else offset[start - 1]
            yield logits_BPV[place, first : first + len(tokens) - start + 1]

    def _piecewise(self, row: ScoreRow) -> TokenScores:
        """Prefill in pieces; only the current piece's logits exist."""
        state = self._runtime.start(1, len(row.tokens))
        inputs, scored = row.tokens[:-1], row.start
        logprobs: list[float] = []
        greedy = True
        for begin in range(0, len(inputs), HEAD_ROWS):
            piece = inputs[begin : begin + HEAD_ROWS]
            places = [place for place in range(len(piece)) if begin + place >= row.start - 1]
            step = self._runtime.step(state, [piece], Want(logits=places or "none"))
            state = step.state
            if places:
                part = _read_off(step.logits[0], row.tokens[scored : scored + len(places)])
                logprobs += part.logprobs
                greedy, scored = greedy and part.greedy, scored + len(places)
        return TokenScores(tuple(logprobs), greedy)


def _batches(keys: Sequence[tuple[tuple[int, ...], int]]) -> Iterator[list[tuple[tuple[int, ...], int]]]:
    """Rows of like lengths, as many as fit the budgets of tokens and of logits."""
    batch: list[tuple[tuple[int, ...], int]] = []
    for key in sorted(keys, key=lambda key: (-len(key[0]), key[1])):
        trial = [*batch, key]
        if batch and (len(trial) * len(trial[0][0]) > BATCH_TOKENS or len(trial) * len(_wanted(trial)) > HEAD_ROWS):
            yield batch
            batch = [key]
        else:
            batch = trial
    if batch:
        yield batch


def _wanted(batch: Sequence[tuple[tuple[int, ...], int]]) -> list[int]:
    """Every position whose logits some row of the batch needs."""
    return sorted({place for tokens, start in batch for place in range(start - 1, len(tokens))})


def _read_off(logits_PV: Tensor, targets: Sequence[int]) -> TokenScores:
    logits_PV = logits_PV.to(torch.promote_types(logits_PV.dtype, torch.float32))
    targets_P = torch.tensor(targets, device=logits_PV.device)
    logprobs_P = torch.log_softmax(logits_PV, -1).gather(-1, targets_P[:, None])[:, 0]
    return TokenScores(tuple(logprobs_P.tolist()), bool((logits_PV.argmax(-1) == targets_P).all()))
