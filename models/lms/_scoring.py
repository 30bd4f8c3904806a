"""How likely are these tokens? Every shared prefix is encoded once, and the head runs only where a token is scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, final

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

from harness.api.protocols import TokenModel
from harness.api.types import Want
from harness.models.lms._forest import Cluster, Forest, cluster, grow
from harness.models.lms._llama import Network

# N packed tokens, D width, V vocabulary, T tokens of a cluster, S tokens that it reads, H heads, K key heads, E width

# tokens of one forward pass: enough for full speed of the products, small enough to stay in cache and memory
PACK_TOKENS = 1024
# positions whose 49k-wide logits exist at once (25 MB at 49,152 words)
HEAD_ROWS = 128


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """Tokens, of which those from `start` (at least 1) on are scored."""

    tokens: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Natural-log probabilities of the scored tokens, and whether each was the arg-max."""

    logprobs: tuple[float, ...]
    greedy: bool


class Scorer(Protocol):
    """Scores rows of tokens."""

    def score(self, rows: Sequence[ScoreRow]) -> list[TokenScores]:
        """One result a row, in order; not finite where the network's output is not."""
        ...


@final
class StepScorer:
    """Scores through any TokenModel, one row after the other: the plain way that the fast one is checked against."""

    def __init__(self, lm: TokenModel) -> None:
        self._lm = lm

    def score(self, rows: Sequence[ScoreRow]) -> list[TokenScores]:
        """One prefill a row."""
        return [self._row(row) for row in rows]

    def _row(self, row: ScoreRow) -> TokenScores:
        inputs = row.tokens[:-1]
        places = list(range(row.start - 1, len(inputs)))
        state = self._lm.start(1, len(inputs))
        logits = self._lm.step(state, [inputs], Want(logits=places)).logits[0]
        targets = torch.tensor(row.tokens[row.start :], device=logits.device)
        logprobs = torch.log_softmax(logits, -1).gather(-1, targets[:, None])[:, 0]
        return TokenScores(tuple(logprobs.tolist()), bool((logits.argmax(-1) == targets).all()))


@final
class ForestScorer:
    """Scores through a network without a cache: clusters of a forest are packed into forward passes."""

    def __init__(self, network: Network, *, check: bool = False) -> None:
        self._network, self._check = network, check

    @torch.inference_mode()
    def score(self, rows: Sequence[ScoreRow]) -> list[TokenScores]:
        """One result a row, in order."""
        if not rows:
            return []
        forest = grow([row.tokens[:-1] for row in rows])
        wanted = _targets(forest, rows)
        found: dict[tuple[int, int, int], tuple[float, bool]] = {}
        memory: dict[int, list[tuple[Tensor, Tensor]]] = {}
        clusters = cluster(forest)
        last_use = {segment: place for place, item in enumerate(clusters) for segment in item.past}
        done = 0
        for pack in _packs(forest, clusters):
            done += len(pack)
            kept = {index for item in pack for index in item.segments if last_use.get(index, -1) >= done}
            attend = ForestAttention(self._network, forest, pack, memory, kept)
            hidden_ND, _ = self._network.run(attend.ids, attend.positions, attend, check=self._check)
            self._read_off(hidden_ND, attend, wanted, found)
            for index in [index for index in memory if last_use.get(index, -1) < done]:
                del memory[index]
        return [_collect(forest, number, row, found) for number, row in enumerate(rows)]

    def _read_off(
        self,
        hidden_ND: Tensor,
        attend: ForestAttention,
        wanted: dict[int, list[tuple[int, int]]],
        found: dict[tuple[int, int, int], tuple[float, bool]],
    ) -> None:
        """Log-probabilities at the wanted places of a pack, a few rows of logits at a time."""
        asked = [
            (start + offset, segment, offset, token)
            for segment, start in attend.starts.items()
            for offset, token in wanted.get(segment, ())
        ]
        for first in range(0, len(asked), HEAD_ROWS):
            part = asked[first : first + HEAD_ROWS]
            # choices of one question are scored at one place: its logits are computed once
            places = sorted({item[0] for item in part})
            row_of = {place: row for row, place in enumerate(places)}
            logits = self._network.logits(hidden_ND[places])
            rows = torch.tensor([row_of[item[0]] for item in part], device=logits.device)
            tokens = torch.tensor([item[3] for item in part], device=logits.device)
            total, best = torch.logsumexp(logits, -1), logits.argmax(-1)
            logprobs = (logits[rows, tokens] - total[rows]).tolist()
            greedy = (best[rows] == tokens).tolist()
            for (_, segment, offset, token), logprob, top in zip(part, logprobs, greedy, strict=True):
                found[segment, offset, token] = (logprob, top)


@dataclass(slots=True)
class _Reading:
    """One attention product: where its queries lie, what past it reads, and the mask."""

    start: int
    tokens: int
    past: tuple[int, ...]
    allowed: Tensor | None  # [T, S]; None: causal over the cluster alone


@dataclass(slots=True)
class ForestAttention:
    """The `Attend` of one pack: clusters read the stored segments before them, and their own tokens."""

    network: Network
    forest: Forest
    pack: Sequence[Cluster]
    memory: dict[int, list[tuple[Tensor, Tensor]]]  # segment -> keys and values [n, K, E] of each layer
    kept: set[int]
    starts: dict[int, int] = field(default_factory=dict)  # segment -> its first packed token
    ids: Tensor = field(init=False)
    positions: Tensor = field(init=False)
    _readings: list[_Reading] = field(default_factory=list)
    _windowed: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ids: list[int] = []
        positions: list[int] = []
        for item in self.pack:
            first = len(ids)
            for index in item.segments:
                segment = self.forest.segments[index]
                self.starts[index] = len(ids)
                ids += segment.tokens
                positions += range(segment.depth, segment.depth + len(segment.tokens))
            allowed = self._allowed(item, first, len(ids))
            self._readings.append(_Reading(first, len(ids) - first, item.past, allowed))
        device = self.network.device
        self.ids = torch.tensor(ids, device=device)
        self.positions = torch.tensor(positions, device=device)
        self.network.cover(max(positions) + 1)
        for index in self.kept:
            self.memory[index] = []

    def __call__(self, layer: int, query_NHE: Tensor, key_NKE: Tensor, value_NKE: Tensor) -> Tensor:
        """Outputs [N, H * E]."""
        shape = self.network.shape
        for index in self.kept:
            start = self.starts[index]
            end = start + len(self.forest.segments[index].tokens)
            self.memory[index].append((key_NKE[start:end].clone(), value_NKE[start:end].clone()))
        mixed = query_NHE.new_empty(query_NHE.shape)
        for number, reading in enumerate(self._readings):
            own = slice(reading.start, reading.start + reading.tokens)
            keys, values = key_NKE[own], value_NKE[own]
            if reading.past:
                before = [self._segment(layer, index, key_NKE, value_NKE) for index in reading.past]
                keys = torch.cat([*(part[0] for part in before), keys])
                values = torch.cat([*(part[1] for part in before), values])
            window = shape.windows[layer]
            mask = self._mask(number, reading, window)
            product = F.scaled_dot_product_attention(
                query_NHE[own].transpose(0, 1).unsqueeze(0),
                keys.transpose(0, 1).unsqueeze(0),
                values.transpose(0, 1).unsqueeze(0),
                attn_mask=mask,
                is_causal=mask is None,
                scale=shape.scale,
                enable_gqa=shape.heads != shape.kv_heads,
            )
            mixed[own] = product[0].transpose(0, 1)
        return mixed.view(len(mixed), -1)

    def _segment(self, layer: int, index: int, key_NKE: Tensor, value_NKE: Tensor) -> tuple[Tensor, Tensor]:
        if index in self.starts:
            own = slice(self.starts[index], self.starts[index] + len(self.forest.segments[index].tokens))
            return key_NKE[own], value_NKE[own]
        return self.memory[index][layer]

    def _allowed(self, item: Cluster, first: int, end: int) -> Tensor | None:
        """Which of its keys each token of a cluster reads [T, S]; None for a plain causal run without a past."""
        if len(item.segments) == 1 and not item.past:
            return None
        past = sum(len(self.forest.segments[index].tokens) for index in item.past)
        allowed = torch.zeros(end - first, past + end - first, dtype=torch.bool)
        allowed[:, :past] = True
        for index in item.segments:
            segment = self.forest.segments[index]
            start = self.starts[index] - first
            size = len(segment.tokens)
            own = allowed[start : start + size]
            if segment.parent in item.segments:
                # whatever the parent's last token reads, all tokens of the child read
                above = self.starts[segment.parent] - first + len(self.forest.segments[segment.parent].tokens) - 1
                own[:] = allowed[above]
            own[:, past + start : past + start + size] = torch.ones(size, size, dtype=torch.bool).tril()
        return allowed

    def _mask(self, number: int, reading: _Reading, window: int) -> Tensor | None:
        """Additive mask [T, S], built once for all layers of one window."""
        past = sum(len(self.forest.segments[index].tokens) for index in reading.past)
        narrow = 0 < window < past + reading.tokens
        if reading.allowed is None and not narrow:
            return None
        key = (number, window if narrow else 0)
        if key not in self._windowed:
            allowed = reading.allowed
            if allowed is None:
                allowed = torch.ones(reading.tokens, reading.tokens, dtype=torch.bool).tril()
            if narrow:
                queries = self.positions[reading.start : reading.start + reading.tokens].cpu()
                keys = torch.cat([torch.arange(past), queries])
                allowed = allowed & (keys > queries[:, None] - window)
            mask = torch.zeros(allowed.shape, dtype=self.network.dtype).masked_fill_(~allowed, float("-inf"))
            self._windowed[key] = mask.to(self.network.device)
        return self._windowed[key]


def _packs(forest: Forest, clusters: Sequence[Cluster]) -> Iterator[list[Cluster]]:
    pack: list[Cluster] = []
    size = 0
    for item in clusters:
        tokens = sum(len(forest.segments[index].tokens) for index in item.segments)
        if pack and size + tokens > PACK_TOKENS:
            yield pack
            pack, size = [], 0
        pack.append(item)
        size += tokens
    if pack:
        yield pack


def _targets(forest: Forest, rows: Sequence[ScoreRow]) -> dict[int, list[tuple[int, int]]]:
    """What to score: segment -> (offset, token) pairs to score there, each once."""
    wanted: dict[int, dict[tuple[int, int], None]] = {}
    for number, row in enumerate(rows):
        for position in range(row.start - 1, len(row.tokens) - 1):
            segment, offset = forest.place(number, position)
            wanted.setdefault(segment, {})[offset, row.tokens[position + 1]] = None
    return {segment: list(pairs) for segment, pairs in wanted.items()}


def _collect(
    forest: Forest, number: int, row: ScoreRow, found: dict[tuple[int, int, int], tuple[float, bool]]
) -> TokenScores:
    scores = []
    for position in range(row.start - 1, len(row.tokens) - 1):
        segment, offset = forest.place(number, position)
        scores.append(found[segment, offset, row.tokens[position + 1]])
    return TokenScores(tuple(score[0] for score in scores), all(score[1] for score in scores))
