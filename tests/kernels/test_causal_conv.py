"""What is peculiar to the causal convolution: its receptive field, its past, and its limits."""

import pytest
import torch

from harness.api.errors import UsageError
from harness.kernels._dispatch import operation
from harness.kernels.causal_conv import cpu, reference

causal_conv = operation("causal_conv")


@pytest.mark.parametrize("path", ["reference", "cpu"])
@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (1, 7), (4, 1), (3, 5)])
def test_an_impulse_comes_back_at_each_tap(taps: int, dilation: int, path: str) -> None:
    x = torch.zeros(1, 1, 20)
    x[..., 2] = 1.0
    y, _ = causal_conv(x, torch.arange(1.0, taps + 1)[None], dilation=dilation, path=path)
    heard = {2 + tap * dilation: tap + 1.0 for tap in range(taps)}
    assert y[0, 0].tolist() == [heard.get(step, 0.0) for step in range(20)]


@pytest.mark.parametrize("path", ["reference", "cpu"])
def test_step_by_step_equals_the_whole(path: str) -> None:
    rng = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 3, 9, generator=rng), torch.randn(4, 3, 3, generator=rng)
    whole, past = causal_conv(x, weight, dilation=2, path=path)
    assert past.shape == (2, 3, 4)
    assert torch.equal(past, x[:, :, -4:])
    past, steps = None, []
    for t in range(9):
        y, past = causal_conv(x[:, :, t : t + 1], weight, None, past, 2, path=path)
        steps.append(y)
    assert torch.allclose(torch.cat(steps, 2), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("weight", "past", "dilation", "message"),
    [
        (torch.ones(3), None, 1, r"weight is \(3,\); it must be \[C, J\], or \[O, C, J\] to mix channels"),
        (torch.ones(3, 4), None, 1, r"x is \(1, 2, 5\) but weight is \(3, 4\); their C must match"),
        (torch.ones(2, 4), None, 0, "dilation is 0 and taps are 4; both must be at least 1"),
        (torch.ones(2, 4), torch.zeros(1, 2, 3), 2, "past holds 3 steps; 4 taps at dilation 2 need 6"),
        (torch.ones(2, 4), torch.zeros(1, 3, 6), 2, ".*past is .*; their C must match"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    weight: torch.Tensor, past: torch.Tensor | None, dilation: int, message: str
) -> None:
    with pytest.raises(UsageError, match=f"^causal_conv: {message}"):
        causal_conv(torch.ones(1, 2, 5), weight, None, past, dilation)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("taps", [1, cpu.FEW, cpu.FEW + 1])
@pytest.mark.parametrize("dilation", [1, 3])
def test_first_and_second_gradients_of_a_depthwise_convolution_are_slopes(batch: int, taps: int, dilation: int) -> None:
    torch.manual_seed(0)
    shapes = [(batch, 2, 5), (2, taps), (2,), (batch, 2, (taps - 1) * dilation)]
    given = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    truth, _ = reference.causal_conv(*given, dilation=dilation)
    assert float((cpu.causal_conv(*given, dilation=dilation)[0] - truth).detach().abs().max()) < 1e-12
    assert torch.autograd.gradcheck(lambda *items: cpu.causal_conv(*items, dilation=dilation), given)
    assert torch.autograd.gradgradcheck(lambda *items: cpu.causal_conv(*items, dilation=dilation)[0], given)
