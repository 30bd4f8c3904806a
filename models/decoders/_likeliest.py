"""Which tokens does each row of logits rank first? Found without sorting the vocabulary, which a step cannot afford."""

from __future__ import annotations

from torch import Tensor

# N rows, V vocabulary, K candidates, B blocks of the vocabulary, S tokens a block

# tokens a block: one selection over a whole vocabulary takes several times as long as one over the blocks' maxima
BLOCK = 64


def likeliest(logits_NV: Tensor) -> list[int]:
    """Each row's arg-max, of equal logits the smallest id."""
    if logits_NV.device.type == "cpu":
        # numpy scans a row of 49,152 in 4 microseconds, torch in 60
        return [int(token) for token in logits_NV.numpy().argmax(-1)]
    return [int(token) for token in logits_NV.argmax(-1).tolist()]


def candidates(logits_NV: Tensor, count: int) -> Tensor:
    """Each row's `count` best tokens [N, K], best first; fewer where the vocabulary is smaller."""
    rows, vocabulary = logits_NV.shape
    count = min(count, vocabulary)
    if vocabulary % BLOCK or vocabulary < count * BLOCK:
        return logits_NV.topk(count, -1).indices
    parts_NBS = logits_NV.reshape(rows, -1, BLOCK)
    # the best K tokens lie in the K blocks with the best maxima
    blocks_NK = parts_NBS.amax(-1).topk(count, -1).indices
    within = parts_NBS.gather(1, blocks_NK[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
    places_NK = within.topk(count, -1).indices
    return blocks_NK.gather(1, places_NK // BLOCK) * BLOCK + places_NK % BLOCK
