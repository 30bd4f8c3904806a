"""How is a network fitted? The one training loop: seeded, budgeted, resumable after a kill, selected on validation.

The order of the data depends on (seed, epoch) alone and a checkpoint holds weights, optimiser moments, position and
the torch random state, so a fit that was killed and resumed ends in the same weights, bit for bit, as one that was
not (a budget in seconds excepted).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from harness.api.errors import HarnessError, UsageError
from harness.api.protocols import Meter, Setting
from harness.api.types import Budget


@dataclass(frozen=True, slots=True)
class Recipe:
    """Optimisation choices that belong to a method rather than to its budget."""

    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: float = 0.05  # share of the step budget
    floor: float = 0.05  # final learning rate as a share of the peak (cosine)
    clip: float = 1.0  # global gradient norm
    batch_tokens: int = 4096  # padded tokens a batch
    batch_examples: int = 64  # at most
    evaluate_every: int = 200  # steps
    default_steps: int = 1000  # when the budget names no limit at all


@dataclass(frozen=True, slots=True)
class Spec:
    """What is fitted: the loss of a batch of example indices, and how long each example is."""

    lengths: Sequence[int]  # tokens (or steps) of each training example
    loss: Callable[[Sequence[int]], tuple[Tensor, int]]  # indices -> (mean loss, tokens that it averages)
    validate: Callable[[], float] | None = None  # lower is better; the best weights are kept


@dataclass(slots=True)
class Progress:
    """Where a fit stands; written into every checkpoint."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    tokens: int = 0
    seconds: float = 0.0
    best: float = math.inf
    done: bool = False
    history: list[tuple[int, float, float]] = field(default_factory=list)  # (step, training loss, validation)


def parameter_rule(parameter: nn.Parameter, *, learning_rate: float | None = None, decay: bool = True) -> nn.Parameter:
    """Give a parameter its own learning rate (state-space matrices) or exempt it from weight decay."""
    setattr(parameter, "_rule", (learning_rate, decay))
    return parameter


def fit(
    module: nn.Module, spec: Spec, recipe: Recipe, *, budget: Budget, seed: int, setting: Setting, meter: Meter
) -> Progress:
    """Train `module` in place and leave it with its best weights (last ones without validation), in eval mode.

    Raises UsageError on an empty training set and HarnessError when the loss is no longer finite.
    """
    if not spec.lengths:
        raise UsageError("fit: the training split is empty.")
    steps = budget.steps or (recipe.default_steps if not (budget.seconds or budget.tokens) else 0)
    torch.manual_seed(seed)
    optimiser = torch.optim.AdamW(_groups(module, recipe), betas=recipe.betas)
    progress, best = _resume(module, optimiser, setting.folder)
    before = progress.seconds
    module.train()
    for indices in _stream(spec, recipe, seed, progress):
        spent = before + meter.elapsed()
        share = _share(progress, budget, steps, spent)
        if progress.done or share >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * _schedule(share, recipe)
        with meter.span("train"):
            value, tokens = spec.loss(indices)
            optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), recipe.clip)
            optimiser.step()
        number = float(value.detach())
        if not math.isfinite(number):
            raise HarnessError(f"training stopped: the loss became {number} at step {progress.step + 1}.")
        progress.step, progress.batch = progress.step + 1, progress.batch + 1
        progress.tokens, progress.seconds = progress.tokens + tokens, spent
        setting.progress(share, f"loss {number:.3f}")
        if progress.step % recipe.evaluate_every == 0:
            best = _evaluate(module, spec, progress, number, best)
            _save(module, optimiser, progress, best, setting.folder)
    if not progress.done:
        best = _evaluate(module, spec, progress, math.nan, best)
        progress.done = True
        _save(module, optimiser, progress, best, setting.folder)
    if best:
        module.load_state_dict(best)
    module.eval()
    return progress


def batches(lengths: Sequence[int], recipe: Recipe, seed: int, epoch: int) -> list[list[int]]:
    """One epoch's batches: shuffled, then bucketed by length so that a batch stays within the token budget."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    bucket = recipe.batch_examples * 32
    found: list[list[int]] = []
    for start in range(0, len(order), bucket):
        rows = sorted(order[start : start + bucket].tolist(), key=lambda row: lengths[row])
        current: list[int] = []
        for row in rows:
            # rows ascend, so this one is the longest of the batch
            if current and (
                len(current) >= recipe.batch_examples or (len(current) + 1) * lengths[row] > recipe.batch_tokens
            ):
                found.append(current)
                current = []
            current.append(row)
        found.append(current)
    return [found[index] for index in rng.permutation(len(found))]


def _stream(spec: Spec, recipe: Recipe, seed: int, progress: Progress) -> Iterator[list[int]]:
    while True:
        epoch = batches(spec.lengths, recipe, seed, progress.epoch)
        while progress.batch < len(epoch):
            yield epoch[progress.batch]
        progress.epoch, progress.batch = progress.epoch + 1, 0


def _groups(module: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in module.parameters():
        if parameter.requires_grad:
            rate, decay = getattr(parameter, "_rule", (None, parameter.ndim > 1))
            key = (rate or recipe.learning_rate, recipe.weight_decay if decay else 0.0)
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": members, "lr": rate, "peak": rate, "weight_decay": decay}
        for (rate, decay), members in groups.items()
    ]


def _share(progress: Progress, budget: Budget, steps: int, seconds: float) -> float:
    limits = ((progress.step, steps), (progress.tokens, budget.tokens), (seconds, budget.seconds))
    return max(spent / limit for spent, limit in limits if limit)


def _schedule(share: float, recipe: Recipe) -> float:
    if share < recipe.warmup:
        # half a step's head start, since a rate of zero would waste the first batch
        return max(share, recipe.warmup / 50) / recipe.warmup
    after = (share - recipe.warmup) / max(1e-9, 1.0 - recipe.warmup)
    return recipe.floor + (1 - recipe.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, after)))


def _evaluate(
    module: nn.Module, spec: Spec, progress: Progress, training: float, best: dict[str, Tensor]
) -> dict[str, Tensor]:
    if spec.validate is None:
        return best
    module.eval()
    with torch.no_grad():
        value = spec.validate()
    module.train()
    progress.history.append((progress.step, training, value))
    if value < progress.best:
        progress.best = value
        return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    return best


def _save(
    module: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress, best: dict[str, Tensor], to: Path | None
) -> None:
    if to is None:
        return
    to.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["random"] = torch.get_rng_state()
    # safetensors refuses shared or strided memory, so every tensor travels as its own contiguous copy
    packed = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    part = to / "checkpoint.part"
    save_file(packed, part, metadata={"progress": json.dumps(asdict(progress))})
    os.replace(part, to / "checkpoint.safetensors")


def _resume(
    module: nn.Module, optimiser: torch.optim.Optimizer, folder: Path | None
) -> tuple[Progress, dict[str, Tensor]]:
    file = folder / "checkpoint.safetensors" if folder else None
    if file is None or not file.exists():
        return Progress(), {}
    tensors = load_file(file)
    module.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random"])
    progress = Progress(**_metadata(file))
    progress.history = [(int(step), float(loss), float(value)) for step, loss, value in progress.history]
    return progress, {name[5:]: value for name, value in tensors.items() if name.startswith("best.")}


def _metadata(file: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return dict(json.loads(opened.metadata()["progress"]))
