"""The transducer's loss against the sum over every alignment, written out."""

from itertools import combinations

import pytest
import torch

from harness.kernels._dispatch import operation

transducer = operation("transducer")


def enumerated(logits_TUV: torch.Tensor, targets: list[int]) -> float:
    """Every order of T blanks and L labels that ends with a blank is one alignment."""
    logprob = torch.log_softmax(logits_TUV.double(), 2)
    frames, labels = len(logits_TUV), len(targets)
    total = 0.0
    for places in combinations(range(frames + labels - 1), labels):
        t = u = 0
        score = 0.0
        for move in range(frames + labels):
            label = move in places
            score += float(logprob[t, u, targets[u] if label else 0])
            t, u = t + (not label), u + label
        total += torch.tensor(score).double().exp().item()
    return -torch.tensor(total).double().log().item()


@pytest.mark.parametrize("labels", range(5))
@pytest.mark.parametrize("frames", range(1, 5))
def test_the_loss_is_the_sum_over_all_alignments(frames: int, labels: int) -> None:
    rng = torch.Generator().manual_seed(10 * frames + labels)
    logits = torch.randn(1, frames, labels + 1, 4, generator=rng)
    targets = torch.randint(1, 4, (1, labels), generator=rng)
    assert float(transducer(logits, targets)) == pytest.approx(enumerated(logits[0], targets[0].tolist()), rel=1e-6)
