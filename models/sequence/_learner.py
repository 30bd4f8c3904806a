"""How does a token mixer become a registered model? Encode series, fit the backbone, answer `label` and `forecast`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from harness.api.errors import UsageError
from harness.api.protocols import Meter, Setting
from harness.api.types import Budget, Example, Forecast, Forecasted, Label, Labelled, Request, Response
from harness.models._training import Recipe, Spec, fit
from harness.models.sequence._backbone import Backbone, Shape, cross_entropy, parameters
from harness.models.sequence._mixer import Mixer, Site

# B batch, T time, C channels, K classes or outputs

IGNORED = -100  # target of positions that are not graded, torch's own sign for it


@dataclass(frozen=True, kw_only=True)
class SequenceModel(ABC):
    """Abstract: a registered model that fits one mixer on the common backbone. Subclasses are final.

    A subclass adds its method's parameters as fields and says how to make its mixer.
    """

    width: int = 64
    depth: int = 2
    ratio: float = 2.0
    dropout: float = 0.0
    bidirectional: bool = False
    learning_rate: float = 3e-3
    batch: int = 32  # sequences
    backprop: int = 0  # steps that gradients reach back (truncated backpropagation through time); 0 for all
    size: int = 0  # when given, the width is the largest multiple of 8 whose parameter count stays within it

    @abstractmethod
    def mixer(self, site: Site) -> Mixer:
        """A fresh mixer for one layer."""

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Weights come from the fit, so only the training code's version counts."""
        return {"training": "sequence/2"}

    def fit(
        self,
        train: Callable[[], Iterator[Example]],
        validation: Callable[[], Iterator[Example]],
        *,
        seed: int,
        budget: Budget,
        setting: Setting,
        meter: Meter,
    ) -> FittedSequence:
        """Fit on `label` or `forecast` examples; the best weights on the validation stream are kept."""
        data = Table.of(train())
        held = Table.of(validation(), like=data)
        torch.manual_seed(seed)
        sized = replace(self, size=budget.parameters) if budget.parameters else self
        network = sized.network(data.facts).to(setting.device)
        if self.backprop < 0:
            raise UsageError(f"backprop={self.backprop} must be a number of steps, or 0 for all of them.")
        if self.backprop and not streams(network):
            raise UsageError(f"backprop={self.backprop} carries a state, which {type(self).__name__} has not; use 0.")
        if self.backprop and not data.facts.per_position:
            raise UsageError(f"backprop={self.backprop} needs graded positions, and this task has none; use 0.")
        fitted = FittedSequence(network, data.facts, setting.device)

        def loss(rows: Sequence[int]) -> tuple[Tensor, int]:
            meter.count("training_examples", len(rows))
            return fitted.loss(data, rows, self.backprop)

        def validate() -> float:
            total, count = 0.0, 0
            for start in range(0, len(held.inputs), 64):
                value, weight = fitted.loss(held, range(start, min(start + 64, len(held.inputs))))
                total, count = total + float(value) * weight, count + weight
            return total / max(1, count)

        longest = max(data.lengths, default=1)
        recipe = Recipe(
            learning_rate=self.learning_rate, batch_examples=self.batch, batch_tokens=max(1, self.batch * longest)
        )
        spec = Spec(data.lengths, loss, validate if held.inputs else None)
        fit(network, spec, recipe, budget=budget, seed=seed, setting=setting, meter=meter)
        return fitted

    def network(self, facts: Facts) -> Backbone:
        """The untrained network for data of this kind."""
        chosen = (
            self.width if not self.size else _widest(lambda width: replace(self, width=width, size=0), facts, self.size)
        )

        def make(layer: int) -> Mixer:
            return self.mixer(Site(chosen, layer, self.depth, facts.longest, facts.grid))

        shape = Shape(
            width=chosen,
            depth=self.depth,
            outputs=facts.outputs,
            vocabulary=facts.vocabulary,
            channels=facts.channels,
            ratio=self.ratio,
            dropout=self.dropout,
            bidirectional=self.bidirectional,
            per_position=facts.per_position,
        )
        return Backbone(shape, make)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the network must know of the data."""

    door: str
    outputs: int
    vocabulary: int = 0
    channels: int = 0
    per_position: bool = False
    longest: int = 0  # time steps
    grid: tuple[int, ...] = ()
    horizon: int = 0  # steps
    mean: tuple[float, ...] = ()  # per channel, from the training split
    deviation: tuple[float, ...] = ()


@dataclass(slots=True)
class Table:
    """A split as arrays: inputs, targets and lengths of every example."""

    facts: Facts
    inputs: list[NDArray[Any]]
    targets: list[NDArray[Any]]
    lengths: list[int]

    @staticmethod
    def of(examples: Iterator[Example], like: Table | None = None) -> Table:
        """Read a stream; `like` carries over the training split's facts."""
        inputs, targets, requests = [], [], []
        for example in examples:
            request = example.requests[0]
            if not isinstance(request, (Label, Forecast)):
                raise UsageError(f"sequence models learn label and forecast tasks, not {request.door!r} ones.")
            requests.append(request)
            inputs.append(_series(request))
            targets.append(_target(request, example.target))
        if like is None and not requests:
            raise UsageError("the task has no training split to learn from.")
        facts = like.facts if like else _facts(requests, inputs, targets)
        return Table(facts, inputs, targets, [len(series) for series in inputs])


@final
class FittedSequence:
    """A trained backbone behind the `label` and `forecast` doors."""

    def __init__(self, network: Backbone, facts: Facts, device: str) -> None:
        self.network, self.facts, self.device = network, facts, device

    @property
    def identity(self) -> Mapping[str, Any]:
        """Parameter count, width, and the state that streaming would carry."""
        known: dict[str, Any] = {
            "parameters": parameters(self.network),
            "width": self.network.shape.width,
            "backend": f"torch-{self.device}",
        }
        if streams(self.network):
            known["state_bytes"] = self.network.state_bytes(self.facts.longest)
        return known

    def size(self, request: Request) -> int:
        """Time steps."""
        return len(_series(request)) if isinstance(request, (Label, Forecast)) else 1

    def label(self, requests: Sequence[Label], *, meter: Meter) -> list[Response]:
        """Class scores (log-probabilities) for each sequence."""
        if not requests:
            return []
        with torch.inference_mode(), meter.span("label", sum(self.size(item) for item in requests)):
            meter.count("model_calls")
            outputs = self._outputs([_series(item) for item in requests], _grid(requests[0]))
            scores = functional.log_softmax(outputs.double(), -1).cpu().numpy()
        return [
            Labelled(scores[row][list(item.positions)] if item.positions else scores[row])
            for row, item in enumerate(requests)
        ]

    def forecast(self, requests: Sequence[Forecast], *, meter: Meter) -> list[Response]:
        """Point forecasts [H, C]."""
        if not requests:
            return []
        with torch.inference_mode(), meter.span("forecast", sum(self.size(item) for item in requests)):
            meter.count("model_calls")
            outputs = self._outputs([_series(item) for item in requests], ()).double().cpu().numpy()
        return [Forecasted(row.reshape(self.facts.horizon, -1)) for row in outputs]

    def loss(self, data: Table, rows: Sequence[int], reach: int = 0) -> tuple[Tensor, int]:
        """Cross-entropy (nats) over graded positions, or mean squared error; gradients end `reach` steps back."""
        outputs = self._outputs([data.inputs[row] for row in rows], self.facts.grid, reach)
        chosen = [data.targets[row] for row in rows]
        if self.facts.door == "forecast":
            wanted = torch.as_tensor(np.stack(chosen), dtype=outputs.dtype, device=self.device)
            return functional.mse_loss(outputs, wanted), len(rows)
        if self.facts.per_position:
            padded = np.full((len(rows), outputs.shape[1]), IGNORED)
            for row, target in enumerate(chosen):
                padded[row, : len(target)] = target
            return cross_entropy(outputs, torch.as_tensor(padded, device=self.device))
        return cross_entropy(outputs, torch.as_tensor(np.stack(chosen), device=self.device))

    def _outputs(self, series: Sequence[NDArray[Any]], grid: tuple[int, ...], reach: int = 0) -> Tensor:
        lengths = torch.tensor([len(item) for item in series])
        longest = max(1, int(lengths.max()))
        mask_BT = torch.arange(longest) < lengths[:, None]
        if self.facts.vocabulary:
            padded = np.zeros((len(series), longest), dtype=np.int64)
        else:
            padded = np.zeros((len(series), longest, self.facts.channels), dtype=np.float32)
        for row, item in enumerate(series):
            padded[row, : len(item)] = item if self.facts.vocabulary else self._standardised(item)
        inputs, mask = torch.as_tensor(padded, device=self.device), None if mask_BT.all() else mask_BT.to(self.device)
        if reach:
            return self._in_pieces(inputs, mask, reach)
        outputs, _ = self.network(inputs, mask, grid=grid)
        return outputs

    def _in_pieces(self, inputs: Tensor, mask_BT: Tensor | None, reach: int) -> Tensor:
        """The same outputs, `reach` steps at a time, with no gradient from a piece to the state it began with."""
        states, parts = self.network.start(len(inputs), inputs.device, self.network.head.weight.dtype), []
        for begin in range(0, inputs.shape[1], reach):
            here = slice(begin, begin + reach)
            part, states = self.network(inputs[:, here], None if mask_BT is None else mask_BT[:, here], states)
            states = [{name: tensor.detach() for name, tensor in state.items()} for state in states]
            parts.append(part)
        return torch.cat(parts, 1)

    def _standardised(self, series: NDArray[Any]) -> NDArray[Any]:
        return (series - np.array(self.facts.mean)) / np.array(self.facts.deviation)


def streams(network: Backbone) -> bool:
    """Whether the whole stack can run from a carried state."""
    return not network.shape.bidirectional and all(block.mixer.streaming != "none" for block in network.stack)


def _series(request: Label | Forecast) -> NDArray[Any]:
    series = request.sequence if isinstance(request, Label) else request.past
    return series if series.ndim == 2 or np.issubdtype(series.dtype, np.integer) else series[:, None]


def _grid(request: Label) -> tuple[int, ...]:
    return tuple(request.shape)


def _target(request: Label | Forecast, target: Any) -> NDArray[Any]:
    if isinstance(request, Forecast):
        return np.asarray(target, dtype=np.float64).reshape(-1)
    if not request.positions:
        return np.asarray(int(target))
    graded = np.full(len(request.sequence), IGNORED)
    graded[list(request.positions)] = np.asarray(target, dtype=np.int64)
    return graded


def _facts(requests: Sequence[Request], inputs: Sequence[NDArray[Any]], targets: Sequence[NDArray[Any]]) -> Facts:
    first, longest = requests[0], max(len(series) for series in inputs)
    if isinstance(first, Label) and first.vocabulary:
        return Facts("label", first.classes, first.vocabulary, 0, bool(first.positions), longest, _grid(first))
    stacked = np.concatenate(list(inputs), axis=0).astype(np.float64)
    spread = stacked.std(axis=0)
    mean, deviation = tuple(stacked.mean(axis=0)), tuple(np.where(spread > 1e-8, spread, 1.0))
    channels = stacked.shape[1]
    if isinstance(first, Label):
        return Facts(
            "label", first.classes, 0, channels, bool(first.positions), longest, _grid(first), 0, mean, deviation
        )
    horizon = first.horizon if isinstance(first, Forecast) else 0
    return Facts("forecast", targets[0].size, 0, channels, False, longest, (), horizon, mean, deviation)


def _widest(at: Callable[[int], SequenceModel], facts: Facts, size: int) -> int:
    """The largest multiple of 8 whose network has at most `size` parameters."""
    fitting = 0
    for width in range(8, 4097, 8):
        with torch.device("meta"):
            if parameters(at(width).network(facts)) > size:
                break
        fitting = width
    if not fitting:
        raise UsageError(f"no width of 8 or more stays within size={size} parameters.")
    return fitting
