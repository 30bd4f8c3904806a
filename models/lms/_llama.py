"""What does a Llama-family network compute? One page for Llama, Mistral, Qwen 2/3, SmolLM and Gemma 3.

The network knows nothing of caches, rows or padding: it maps N packed tokens to N hidden states and asks an
`Attend` to mix them, so that a growing cache, a tree and a forest of shared prefixes all run the same lines.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

from harness.api.errors import UsageError
from harness.models.lms._linear import Linear, Weights, lay_out
from harness.models.lms._shape import Shape, angles

# N tokens, D width, H query heads, K key heads, E width of a head


class Attend(Protocol):
    """Mixes tokens: remembers keys and values, returns what each query reads."""

    def __call__(self, layer: int, query_NHE: Tensor, key_NKE: Tensor, value_NKE: Tensor) -> Tensor:
        """Outputs [N, H * E] of layer `layer`; keys are already rotated."""
        ...


class NonFiniteError(ArithmeticError):
    """A layer's output holds NaN or infinity."""


class Layer:
    """The weights of one block, laid out for this machine."""

    def __init__(
        self, shape: Shape, index: int, tensor: Callable[[str], Tensor], weights: Weights, dtype: torch.dtype
    ) -> None:
        prefix = f"model.layers.{index}."
        self._shape = shape
        heads, keys, width = shape.heads, shape.kv_heads, shape.head_width

        def matrix(name: str) -> Tensor:
            return tensor(f"{prefix}{name}.weight")

        def bias(name: str, present: bool) -> Tensor | None:
            return tensor(f"{prefix}{name}.bias").to(dtype) if present else None

        def laid(weight: Tensor, bias: Tensor | None) -> Linear:
            return lay_out(weight, bias, weights, dtype)

        def norm(name: str) -> Tensor:
            weight = tensor(f"{prefix}{name}.weight").to(dtype)
            return weight + 1 if shape.gemma else weight

        names = [f"self_attn.{part}_proj" for part in "qkv"]
        turned = [
            _interleave(matrix(names[0]), heads, width),
            _interleave(matrix(names[1]), keys, width),
            matrix(names[2]),
        ]
        joined = None
        if shape.qkv_bias:
            query, key, value = (tensor(f"{prefix}{name}.bias").to(dtype) for name in names)
            joined = torch.cat([_interleave(query, heads, width), _interleave(key, keys, width), value])
        self.qkv = laid(torch.cat(turned), joined)
        self.output = laid(matrix("self_attn.o_proj"), bias("self_attn.o_proj", shape.output_bias))
        self.gate = laid(matrix("mlp.gate_proj"), bias("mlp.gate_proj", shape.mlp_bias))
        self.up = laid(matrix("mlp.up_proj"), bias("mlp.up_proj", shape.mlp_bias))
        self.down = laid(matrix("mlp.down_proj"), bias("mlp.down_proj", shape.mlp_bias))
        self.before_attention = norm("input_layernorm")
        self.before_mlp = norm("pre_feedforward_layernorm" if shape.gemma else "post_attention_layernorm")
        self.after_attention = norm("post_attention_layernorm") if shape.gemma else None
        self.after_mlp = norm("post_feedforward_layernorm") if shape.gemma else None
        self.query_norm = _interleave(norm("self_attn.q_norm"), 1, width) if shape.qk_norm else None
        self.key_norm = _interleave(norm("self_attn.k_norm"), 1, width) if shape.qk_norm else None

    def attention(self, index: int, hidden_ND: Tensor, turns_NE: Tensor, attend: Attend) -> Tensor:
        """Hidden states [N, D] after the attention block."""
        shape = self._shape
        heads, both, width = shape.heads, shape.heads + shape.kv_heads, shape.head_width
        normed_ND = _norm(hidden_ND, self.before_attention, shape.epsilon)
        projected = self.qkv(normed_ND).view(hidden_ND.shape[0], -1, width)
        turning, value_NKE = projected[:, :both], projected[:, both:]
        if self.query_norm is not None and self.key_norm is not None:
            query = _norm(turning[:, :heads], self.query_norm, shape.epsilon)
            turning = torch.cat([query, _norm(turning[:, heads:], self.key_norm, shape.epsilon)], dim=1)
        turning = _turn(turning, turns_NE)
        mixed = attend(index, turning[:, :heads], turning[:, heads:], value_NKE)
        if self.after_attention is None:
            return self.output.added(mixed, hidden_ND)
        return hidden_ND + _norm(self.output(mixed), self.after_attention, shape.epsilon)

    def mlp(self, hidden_ND: Tensor) -> Tensor:
        """Hidden states [N, D] after the feed-forward block."""
        normed_ND = _norm(hidden_ND, self.before_mlp, self._shape.epsilon)
        if self.after_mlp is None:
            return self.down.added(self.up.times(normed_ND, self.gate.silu(normed_ND)), hidden_ND)
        gated = self.up.times(normed_ND, F.gelu(self.gate(normed_ND), approximate="tanh"))
        return hidden_ND + _norm(self.down(gated), self.after_mlp, self._shape.epsilon)


class Network:
    """Embedding, blocks and head of one checkpoint."""

    def __init__(
        self,
        shape: Shape,
        tensor: Callable[[str], Tensor],
        weights: Weights = "full",
        dtype: torch.dtype | None = None,
    ) -> None:
        self.shape = shape
        embedding = tensor("model.embed_tokens.weight")
        # everything but quantised matrices is kept, and all is computed, in `dtype`: by default that of the tensors
        self.embedding_VD = embedding if dtype is None else embedding.to(dtype)
        self.device, self.dtype = self.embedding_VD.device, self.embedding_VD.dtype
        self.layers = [Layer(shape, index, tensor, weights, self.dtype) for index in range(shape.layers)]
        final = tensor("model.norm.weight").to(self.dtype)
        self.final_norm = final + 1 if shape.gemma else final
        self.head = lay_out(embedding if shape.tied else tensor("lm_head.weight"), None, weights, self.dtype)
        # one table a distinct rotary embedding, not one a layer; grown by `cover`
        self._turns: dict[tuple[float, ...], Tensor] = {}

    def first(self, layers: int) -> Network:
        """The same embedding, the first `layers` layers, the same final norm and head; weights are shared."""
        if not 1 <= layers <= self.shape.layers:
            raise UsageError(f"the network has {self.shape.layers} layers, so its first {layers} cannot be taken.")
        part = copy.copy(self)
        part.shape, part.layers = replace(self.shape, layers=layers), self.layers[:layers]
        return part

    def run(
        self,
        ids_N: Tensor,
        positions_N: Tensor,
        attend: Attend,
        hidden: Sequence[int] = (),
        check: bool = False,
    ) -> tuple[Tensor, Mapping[int, Tensor]]:
        """The last layer's output [N, D] before the final norm, and the hidden states of the wanted layers.

        Positions are below what `cover` was called with, so that a GPU need not be asked for the largest.

        Errors: NonFiniteError naming the first layer whose output is not finite, when `check` is set.
        """
        hidden_ND = self.embedding_VD[ids_N]
        if self.shape.gemma:
            hidden_ND = hidden_ND * torch.tensor(self.shape.width**0.5, dtype=self.dtype)
        wanted = {0: hidden_ND} if 0 in hidden else {}
        turned: dict[tuple[float, ...], Tensor] = {}
        for index, layer in enumerate(self.layers):
            key = self.shape.rotaries[index].frequencies
            if key not in turned:
                turned[key] = self._angles(index, positions_N)
            hidden_ND = layer.attention(index, hidden_ND, turned[key], attend)
            hidden_ND = layer.mlp(hidden_ND)
            if index + 1 in hidden:
                wanted[index + 1] = hidden_ND
            if check and not bool(torch.isfinite(hidden_ND).all()):
                raise NonFiniteError(f"layer {index} is the first whose output is not finite")
        if -1 in hidden:
            wanted[-1] = self.finish(hidden_ND)
        return hidden_ND, wanted

    def finish(self, hidden_ND: Tensor) -> Tensor:
        """The final norm."""
        return _norm(hidden_ND, self.final_norm, self.shape.epsilon)

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """Logits [N, V] from the last layer's output, in float32 at least."""
        logits_NV = self.head(self.finish(hidden_ND))
        return logits_NV.to(_wide(logits_NV.dtype))

    def cover(self, positions: int) -> list[Tensor]:
        """The tables of angles of all layers, made long enough for so many positions; `run` asks for it first."""
        for layer in range(len(self.layers)):
            key = self.shape.rotaries[layer].frequencies
            table = self._turns.get(key)
            if table is None or len(table) < positions:
                self._turns[key] = angles(self.shape, layer, max(2 * positions, 512)).to(self.device)
        return list(self._turns.values())

    def _angles(self, layer: int, positions_N: Tensor) -> Tensor:
        return self._turns[self.shape.rotaries[layer].frequencies][positions_N].unsqueeze(1)


def _norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return F.rms_norm(x, weight.shape, weight, epsilon)


def _turn(x_NHE: Tensor, turns_NE: Tensor) -> Tensor:
    """Rotate neighbouring pairs of the last axis, in float32 at least."""
    tokens, heads, width = x_NHE.shape
    pairs = torch.view_as_complex(x_NHE.to(_wide(x_NHE.dtype)).reshape(tokens, heads, width // 2, 2))
    return torch.view_as_real(pairs * turns_NE).view(tokens, heads, width).to(x_NHE.dtype)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _interleave(rows: Tensor, heads: int, width: int) -> Tensor:
    """Bring the two halves of every head side by side: scores do not change, and a rotation is one product."""
    halves = rows.view(heads, 2, width // 2, *rows.shape[1:])
    return halves.transpose(1, 2).reshape(rows.shape)
