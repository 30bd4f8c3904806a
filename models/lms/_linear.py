"""How is a weight matrix laid out so that multiplying by it is fast? Packed by oneDNN where it can be.

On x86 the oneDNN-packed layout reads a weight matrix faster than `F.linear` does, at one row as at hundreds:
`benchmarks/engine.py --row layout` says by how much on the machine at hand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, Protocol, final

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

# N tokens, I inputs, O outputs, G groups of a row
Weights = Literal["full", "int8", "int8-rows"]
# part of a model's fingerprint: raised when the same weights may give other numbers
RUNTIME: Mapping[Weights, str] = {"full": "1", "int8": "2", "int8-rows": "2"}

# rows that the packed layout is tuned for; measured equal to the best of 1, 64, 2048 at every batch size in fp32
PACKING_ROWS = 64
# below this many rows the int8 kernel beats widening the matrix first (measured 2026, Zen 5, bf16)
INT8_KERNEL_ROWS = 12
# inputs that share a scale: `benchmarks/engine.py --row int8` and `--row int8-rows` say what one scale a row would cost
GROUP_INPUTS = 32  # as GGUF's Q8_0
# weights widened at a time (1 MB in float32), so that a head's widened rows stay in the cache
BLOCK_WEIGHTS = 2**18
# from this many rows on, packing the widened matrix first costs less than it saves
REPACKED_ROWS = 64


class Linear(Protocol):
    """y = x W^T + b, with what usually follows fused into it."""

    layout: str
    outputs: int

    def __call__(self, x_NI: Tensor) -> Tensor:
        """The product [N, O]."""
        ...

    def added(self, x_NI: Tensor, other_NO: Tensor) -> Tensor:
        """The product plus `other` (a residual stream)."""
        ...

    def silu(self, x_NI: Tensor) -> Tensor:
        """SiLU of the product."""
        ...

    def times(self, x_NI: Tensor, other_NO: Tensor) -> Tensor:
        """The product times `other` (a gate)."""
        ...


class Unfused(ABC):
    """Abstract: a product whose residual, activation or gate is an operation of its own."""

    @abstractmethod
    def __call__(self, x_NI: Tensor) -> Tensor:
        """The product [N, O], in memory of its own."""

    def added(self, x_NI: Tensor, other_NO: Tensor) -> Tensor:
        """The product plus `other`."""
        return other_NO + self(x_NI)

    def silu(self, x_NI: Tensor) -> Tensor:
        """SiLU of the product."""
        return F.silu(self(x_NI))

    def times(self, x_NI: Tensor, other_NO: Tensor) -> Tensor:
        """The product times `other`."""
        return self(x_NI).mul_(other_NO)


@final
class PlainLinear(Unfused):
    """torch's own layout and product: what runs on a GPU, and where oneDNN is missing."""

    layout = "torch"

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None = None) -> None:
        self.weight_OI, self.bias_O = weight_OI.contiguous(), bias_O
        self.outputs = weight_OI.shape[0]

    def __call__(self, x_NI: Tensor) -> Tensor:
        """The product [N, O]."""
        return F.linear(x_NI, self.weight_OI, self.bias_O)


@final
class PackedLinear:
    """oneDNN's blocked layout, with the activation, gate or residual computed while the result is in registers."""

    layout = "onednn-packed"

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None = None) -> None:
        self.outputs = weight_OI.shape[0]
        self.bias_O = bias_O
        operations: Any = torch.ops.mkldnn
        self._weight = operations._reorder_linear_weight(weight_OI.contiguous(), PACKING_ROWS)
        self._product: Any = operations._linear_pointwise.default
        self._fused: Any = operations._linear_pointwise.binary

    def __call__(self, x_NI: Tensor) -> Tensor:
        """The product [N, O]."""
        return self._product(x_NI, self._weight, self.bias_O, "none", [], "")  # type: ignore[no-any-return]

    def added(self, x_NI: Tensor, other_NO: Tensor) -> Tensor:
        """The product plus `other`."""
        return self._fused(x_NI, other_NO, self._weight, self.bias_O, "add")  # type: ignore[no-any-return]

    def silu(self, x_NI: Tensor) -> Tensor:
        """SiLU of the product."""
        return self._product(x_NI, self._weight, self.bias_O, "swish", [], "")  # type: ignore[no-any-return]

    def times(self, x_NI: Tensor, other_NO: Tensor) -> Tensor:
        """The product times `other`."""
        return self._fused(x_NI, other_NO, self._weight, self.bias_O, "mul")  # type: ignore[no-any-return]


@final
class Int8Linear(Unfused):
    """Weight-only int8, one scale for each 32 inputs of a row: 28% of float32's bytes, the arithmetic of the input."""

    layout = "int8 groups"

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None = None) -> None:
        self.outputs, inputs = weight_OI.shape
        self.bias_O = bias_O
        groups = inputs // GROUP_INPUTS if inputs % GROUP_INPUTS == 0 else 1
        flat, scale = quantise_rows(weight_OI.reshape(self.outputs * groups, -1))
        rows = max(1, BLOCK_WEIGHTS // inputs)
        self._blocks = list(
            zip(flat.view(-1, groups, inputs // groups).split(rows), scale.view(-1, groups, 1).split(rows), strict=True)
        )

    def __call__(self, x_NI: Tensor) -> Tensor:
        """The product [N, O]; the matrix is widened for it, a block of rows that fits the cache at a time."""
        parts_NO, dtype = [], x_NI.dtype
        for quantised, scale in self._blocks:
            weight = (quantised.to(dtype) * scale.to(dtype)).flatten(1)
            packed = len(x_NI) >= REPACKED_ROWS and _packs(weight)
            parts_NO.append(PackedLinear(weight)(x_NI) if packed else F.linear(x_NI, weight))
        product_NO = torch.cat(parts_NO, -1) if len(parts_NO) > 1 else parts_NO[0]
        return product_NO if self.bias_O is None else product_NO + self.bias_O


@final
class RowInt8Linear(Unfused):
    """Weight-only int8 with one scale a row (Wu et al. 2016, section 6); fast at few rows in bfloat16."""

    layout = "int8 rows"

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None = None) -> None:
        self.outputs = weight_OI.shape[0]
        self.bias_O = bias_O
        self.weight_OI, self.scale_O = quantise_rows(weight_OI)
        # the scales stay in float32, outside a kernel that would round them
        self._ones_O = torch.ones(self.outputs, dtype=torch.bfloat16, device=weight_OI.device)

    def __call__(self, x_NI: Tensor) -> Tensor:
        """The product [N, O]."""
        if x_NI.shape[0] <= INT8_KERNEL_ROWS and x_NI.dtype == torch.bfloat16 and not x_NI.is_cuda:
            product_NO = torch._weight_int8pack_mm(x_NI.contiguous(), self.weight_OI, self._ones_O)
        else:
            product_NO = F.linear(x_NI, self.weight_OI.to(x_NI.dtype))
        product_NO = (product_NO * self.scale_O).to(x_NI.dtype)
        return product_NO if self.bias_O is None else product_NO + self.bias_O


def quantise_rows(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    """int8 weights and the scale of each row: w ~ q * scale, scale = max |w| / 127."""
    scale_O = weight_OI.float().abs().amax(dim=1).clamp_min(1e-12) / 127
    return torch.round(weight_OI.float() / scale_O[:, None]).to(torch.int8), scale_O


def lay_out(weight_OI: Tensor, bias_O: Tensor | None, weights: Weights, dtype: torch.dtype) -> Linear:
    """The fastest layout that this machine has for a matrix that multiplies inputs of `dtype`.

    int8 is rounded from the matrix as it is given, so that a float32 one is not rounded to bfloat16 first.
    """
    if weights != "full":
        return (Int8Linear if weights == "int8" else RowInt8Linear)(weight_OI, bias_O)
    weight_OI = weight_OI.to(dtype)
    return PackedLinear(weight_OI, bias_O) if _packs(weight_OI) else PlainLinear(weight_OI, bias_O)


def _packs(weight_OI: Tensor) -> bool:
    packable = weight_OI.device.type == "cpu" and weight_OI.dtype in (torch.float32, torch.bfloat16)
    return packable and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
