"""What is peculiar to the prefix softmax: any prefix is a mean, any split of it combines, any score is safe."""

import pytest
import torch

from harness.api.errors import UsageError
from harness.kernels._dispatch import operation

prefix_softmax = operation("prefix_softmax")
PATHS = ("reference", "cpu")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("path", PATHS)
def test_the_first_answer_is_the_first_value(path: str) -> None:
    v = normal(1, 2, 1, 3)
    y, (m, u, w) = prefix_softmax(torch.full((1, 2, 1), -500.0), v, path=path)
    assert torch.equal(y, v)
    assert (m == -500.0).all()
    assert (u == 1.0).all()
    assert torch.equal(w, v[:, :, 0])


@pytest.mark.parametrize("path", PATHS)
def test_equal_scores_give_the_running_mean(path: str) -> None:
    v = torch.arange(6.0).view(1, 1, 6, 1)
    y, _ = prefix_softmax(torch.full((1, 1, 6), 80.0), v, path=path)
    assert y.flatten().tolist() == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])


@pytest.mark.parametrize("path", PATHS)
def test_a_state_that_saw_nothing_is_no_state(path: str) -> None:
    score, v = normal(1, 2, 5), normal(1, 2, 5, 3, seed=1).requires_grad_()
    _, empty = prefix_softmax(score[:, :, :0], v[:, :, :0], path=path)
    continued, _ = prefix_softmax(score, v, empty, path=path)
    whole, _ = prefix_softmax(score, v, path=path)
    assert torch.allclose(continued, whole, atol=1e-6)
    (gradient,) = torch.autograd.grad(continued.sum(), v)
    assert torch.isfinite(gradient).all()


def test_the_last_answer_does_not_depend_on_the_order() -> None:
    score, v = 40.0 * normal(1, 1, 30), normal(1, 1, 30, 4, seed=1)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(2))
    first, _ = prefix_softmax(score, v)
    second, _ = prefix_softmax(score[..., order], v[:, :, order])
    assert torch.allclose(first[:, :, -1], second[:, :, -1], atol=1e-6)


def test_a_state_of_two_parts_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^prefix_softmax: state has 2 parts; it must have three \(m, u, w\)"):
        prefix_softmax(normal(1, 2, 5), normal(1, 2, 5, 3), (normal(1, 2), normal(1, 2)))
