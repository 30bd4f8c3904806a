"""Does every registered token mixer keep the promises of the contract? One parametrised suite over the registry."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from harness.api import registry
from harness.models.sequence._backbone import Backbone, Shape
from harness.models.sequence._learner import Facts
from harness.models.sequence._mixer import Mixer, Site

NAMES = [name for name in registry.names("model") if name.startswith("sequence/")]

# tolerance in float64, relative Frobenius norm; an epsilon in a normaliser costs digits
LOOSE: dict[str, float] = {}
# names whose registered default has no causal form, and why
NOT_CAUSAL: dict[str, str] = {
    "sequence/informer_encoder": "an encoder by default: queries are ranked over the whole sequence",
    "sequence/linformer": "every mixture holds keys of the whole sequence",
    "sequence/reformer": "sorting by hash places a token by the hashes of later ones",
}
WIDTH, LENGTH, BATCH = 16, 37, 2
# every registered default, and the other direction of what can be an encoder or a decoder
ORDERED = [f"{name}:width={WIDTH}" for name in NAMES] + [
    f"{name}:width={WIDTH},causal={item.default != 'True'}"
    for name in NAMES
    for item in registry.card("model", name).parameters
    if item.name == "causal"
]


def mixer(name: str, dtype: torch.dtype = torch.float64, length: int = LENGTH) -> Mixer:
    torch.manual_seed(0)
    made = registry.create("model", f"{name}:width={WIDTH}").mixer(Site(WIDTH, 0, 2, length))
    _perturb(made)
    return made.to(dtype).eval()


def _perturb(module: torch.nn.Module) -> None:
    """Initialisations that are exactly zero would hide whole branches from every check."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point() and float(parameter.abs().max()) == 0.0:
                parameter.normal_(std=0.1)


def inputs(dtype: torch.dtype = torch.float64, length: int = LENGTH) -> torch.Tensor:
    return torch.randn(BATCH, length, WIDTH, dtype=dtype, generator=torch.Generator().manual_seed(1))


def distance(left: torch.Tensor, right: torch.Tensor) -> float:
    left, right = left.detach(), right.detach()
    return float((left - right).norm() / right.norm().clamp(min=1e-30))


def streaming(name: str) -> bool:
    return mixer(name).streaming != "none"


def tolerance(name: str) -> float:
    return LOOSE.get(name, 1e-9)


@pytest.fixture(params=NAMES)
def name(request: Any) -> str:
    return str(request.param)


def test_the_loop_of_steps_is_the_parallel_form(name: str) -> None:
    made, x = mixer(name), inputs()
    if made.streaming == "none":
        pytest.skip("no causal form")
    whole, _ = made(x)
    state, outputs = made.start(BATCH, x.device, x.dtype), []
    for time in range(LENGTH):
        y, state = made.step(x[:, time], state)
        outputs.append(y)
    assert distance(torch.stack(outputs, 1), whole) <= tolerance(name)


def test_in_single_precision_the_forms_stay_within_a_ten_thousandth(name: str) -> None:
    made, x = mixer(name, torch.float32), inputs(torch.float32)
    if made.streaming == "none":
        pytest.skip("no causal form")
    whole, _ = made(x)
    state, outputs = made.start(BATCH, x.device, x.dtype), []
    for piece in x.split([1] * 5 + [LENGTH - 5], 1):
        y, state = made(piece, state)
        outputs.append(y)
    assert distance(torch.cat(outputs, 1), whole) <= 1e-4


@pytest.mark.parametrize("chunk", [1, 7, 16, LENGTH, LENGTH + 3])
def test_chunks_with_the_state_handed_on_are_the_parallel_form(name: str, chunk: int) -> None:
    made, x = mixer(name), inputs()
    if made.streaming == "none":
        pytest.skip("no causal form")
    whole, last = made(x)
    state, outputs = made.start(BATCH, x.device, x.dtype), []
    for piece in x.split(chunk, 1):
        y, state = made(piece, state)
        outputs.append(y)
    assert distance(torch.cat(outputs, 1), whole) <= tolerance(name)
    assert set(state) == set(last)


def test_the_table_names_exactly_the_mixers_without_a_causal_form(name: str) -> None:
    made = mixer(name)
    assert (made.streaming == "none") == (not made.causal) == (name in NOT_CAUSAL)


def test_no_tokens_leave_the_state_as_it_was(name: str) -> None:
    made, x = mixer(name), inputs()
    if made.streaming == "none":
        pytest.skip("no causal form")
    _, held = made(x)
    y, after = made(x[:, :0], held)
    assert y.shape == (BATCH, 0, WIDTH)
    assert all(torch.equal(after[key], held[key]) for key in held)


def test_later_tokens_never_change_earlier_outputs(name: str) -> None:
    made, x = mixer(name), inputs()
    if not made.causal:
        pytest.skip("declared non-causal")
    for cut in (1, 18, LENGTH - 1):
        changed = x.clone()
        changed[:, cut:] += torch.randn_like(changed[:, cut:])
        before, after = made(x)[0][:, :cut], made(changed)[0][:, :cut]
        assert distance(after, before) <= 1e-6


def test_a_token_is_heard_later(name: str) -> None:
    made, x = mixer(name), inputs()
    changed = x.clone()
    changed[:, LENGTH // 2] += 1.0
    assert distance(made(changed)[0][:, LENGTH // 2 :], made(x)[0][:, LENGTH // 2 :]) > 1e-8


@pytest.mark.parametrize("grid", [(), (6, 6)])
@pytest.mark.parametrize("spec", ORDERED)
def test_a_shuffle_of_the_inputs_changes_the_logits(spec: str, grid: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    facts = Facts("label", outputs=5, channels=1, longest=36, grid=grid)
    network = registry.create("model", spec).network(facts).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            # positions that start at 0.02, or gates that start almost shut, would hardly be seen
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
        x, order = torch.randn(2, 36, 1, dtype=torch.float64), torch.randperm(36)
        plain, shuffled = (network(inputs, grid=grid)[0] for inputs in (x, x[:, order]))
    # a bag of inputs moves the logits of a pooled head by rounding alone, 1e-16
    assert distance(shuffled, plain) > 1e-3


def test_rows_of_a_batch_do_not_talk(name: str) -> None:
    made, x = mixer(name), inputs()
    assert distance(made(x)[0][:1], made(x[:1])[0]) <= tolerance(name)


def test_right_padding_changes_nothing(name: str) -> None:
    made, x = mixer(name), inputs()
    short = LENGTH - 9
    mask = torch.arange(LENGTH).expand(BATCH, -1) < short
    padded = torch.where(mask[..., None], x, torch.full_like(x, 7.0))
    assert distance(made(padded, mask_BT=mask)[0][:, :short], made(x[:, :short])[0]) <= max(1e-7, tolerance(name))


def test_the_declared_state_bytes_are_the_state_bytes(name: str) -> None:
    made = mixer(name, torch.float32)
    if made.streaming == "none":
        pytest.skip("no causal form")
    for length in (1, LENGTH):
        state = made.start(1, torch.device("cpu"), torch.float32)
        for time in range(length):
            _, state = made.step(inputs(torch.float32)[:1, time], state)
        held = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
        assert held == made.state_bytes(length)
    if made.streaming == "constant":
        assert made.state_bytes(1_000) == made.state_bytes(100_000)


def test_the_state_stays_in_float32_when_activations_are_bfloat16(name: str) -> None:
    made = mixer(name, torch.bfloat16)
    if made.streaming != "constant":
        pytest.skip("keys and values may stay in the activations' type")
    state = made.start(BATCH, torch.device("cpu"), torch.bfloat16)
    _, state = made(inputs(torch.bfloat16), state)
    for key, tensor in state.items():
        assert tensor.dtype not in (torch.bfloat16, torch.float16), key


def test_gradients_of_the_stepped_form_are_those_of_the_parallel_form(name: str) -> None:
    if not streaming(name):
        pytest.skip("no causal form")
    length = 9
    gradients = []
    for stepped in (False, True):
        made, x = mixer(name), inputs(length=length).requires_grad_()
        if stepped:
            state, outputs = made.start(BATCH, x.device, x.dtype), []
            for time in range(length):
                y, state = made.step(x[:, time], state)
                outputs.append(y)
            whole = torch.stack(outputs, 1)
        else:
            whole, _ = made(x)
        (whole * torch.linspace(-1, 1, whole.numel(), dtype=whole.dtype).view_as(whole)).sum().backward()
        found = [x.grad, *(parameter.grad for parameter in made.parameters())]
        gradients.append(torch.cat([grad.flatten() for grad in found if grad is not None]))
    assert distance(gradients[1], gradients[0]) <= max(1e-7, tolerance(name))


def test_saving_and_loading_changes_nothing(name: str) -> None:
    first, second = mixer(name), mixer(name)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(1.0)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(inputs())[0], second(inputs())[0])


def test_the_backbone_takes_the_mixer_and_its_outputs_are_finite(name: str) -> None:
    torch.manual_seed(0)
    entry = registry.create("model", f"{name}:width={WIDTH}")
    stack = Backbone(Shape(WIDTH, 2, 5, vocabulary=11), lambda layer: entry.mixer(Site(WIDTH, layer, 2, LENGTH)))
    tokens = torch.randint(0, 11, (BATCH, LENGTH))
    outputs, _ = stack(tokens)
    outputs.sum().backward()
    assert outputs.shape == (BATCH, 5)
    assert bool(outputs.isfinite().all())
    assert all(bool(item.grad.isfinite().all()) for item in stack.parameters() if item.grad is not None)
    assert math.isfinite(float(outputs.detach().sum()))
