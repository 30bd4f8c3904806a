"""What does a checkpoint's `config.json` say about the network? Sizes, rotary angles, windows, norms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.api.errors import DataError

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text")


@dataclass(frozen=True, slots=True)
class Rotary:
    """Angles of one rotary embedding: inverse frequencies [head_width / 2], and a factor on cos and sin."""

    frequencies: tuple[float, ...]
    factor: float = 1.0  # YaRN's attention factor


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes and switches that tell one Llama-family network from another."""

    family: str
    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    hidden: int  # width of the feed-forward layer
    context_length: int  # tokens
    epsilon: float
    tied: bool
    windows: tuple[int, ...]  # of each layer: how many positions a token sees, itself included; 0 for all
    rotaries: tuple[Rotary, ...]  # of each layer
    scale: float  # of attention scores
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    gemma: bool = False  # norm weights are 1 + w, embeddings scaled, GELU gate, norms after each block
    eos: tuple[int, ...] = ()
    bos: int | None = None


def read_shape(config: Mapping[str, Any]) -> Shape:
    """The shape that a `config.json` describes; DataError when the family or an option is not supported."""
    family = str(config.get("model_type", ""))
    if family not in FAMILIES:
        raise DataError(
            f"model_type {family!r} is not of the Llama family ({', '.join(FAMILIES)}); use lms/hf:path=..."
        )
    refuse = {"partial_rotary_factor": 1.0, "attn_logit_softcapping": None, "final_logit_softcapping": None}
    for key, plain in refuse.items():
        if config.get(key) not in (None, plain):
            raise DataError(f"config option {key}={config[key]!r} is not supported here; use lms/hf:path=...")
    for key, causal in {"use_bidirectional_attention": False, "is_causal": True}.items():
        if config.get(key) not in (None, causal):
            raise DataError(
                f"config option {key}={config[key]!r}: the attention of this checkpoint is not causal, so that it "
                f"gives no probabilities of a next token; give a causal checkpoint."
            )
    heads = int(config["num_attention_heads"])
    head_width = int(config.get("head_dim") or config["hidden_size"] // heads)
    gemma = family == "gemma3_text"
    activation = str(config.get("hidden_activation") or config.get("hidden_act") or "silu")
    if activation not in (("gelu_pytorch_tanh",) if gemma else ("silu", "swish")):
        raise DataError(f"activation {activation!r} is not supported here; use lms/hf:path=...")
    scalar = config.get("query_pre_attn_scalar") if gemma else None
    layers = int(config["num_hidden_layers"])
    kinds = _layer_kinds(config, family, layers)
    window = int(config.get("sliding_window") or 0)
    eos = config.get("eos_token_id")
    return Shape(
        family=family,
        vocabulary=int(config["vocab_size"]),
        width=int(config["hidden_size"]),
        layers=layers,
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_width=head_width,
        hidden=int(config["intermediate_size"]),
        context_length=int(config.get("max_position_embeddings", 2048)),
        epsilon=float(config.get("rms_norm_eps", 1e-6)),
        tied=bool(config.get("tie_word_embeddings", gemma)),
        windows=tuple(window if kind == "sliding_attention" else 0 for kind in kinds),
        rotaries=tuple(_rotary(config, kind, head_width) for kind in kinds),
        scale=float(scalar) ** -0.5 if scalar else head_width**-0.5,
        qkv_bias=family == "qwen2" or bool(config.get("attention_bias", False)),
        output_bias=family != "qwen2" and bool(config.get("attention_bias", False)),
        mlp_bias=bool(config.get("mlp_bias", False)),
        qk_norm=family == "qwen3" or gemma,
        gemma=gemma,
        eos=tuple(eos) if isinstance(eos, Sequence) else (() if eos is None else (int(eos),)),
        bos=config.get("bos_token_id"),
    )


def angles(shape: Shape, layer: int, length: int) -> Tensor:
    """Unit complex numbers [length, head_width / 2] by which the rotary pairs of a position are multiplied."""
    rotary = shape.rotaries[layer]
    frequencies = torch.tensor(rotary.frequencies, dtype=torch.float32)
    turns = torch.arange(length, dtype=torch.float32)[:, None] * frequencies
    return torch.polar(torch.full_like(turns, rotary.factor), turns)


def _layer_kinds(config: Mapping[str, Any], family: str, layers: int) -> tuple[str, ...]:
    if config.get("layer_types"):
        return tuple(config["layer_types"])
    if family == "gemma3_text":
        period = int(config.get("sliding_window_pattern", 6))
        return tuple("full_attention" if (i + 1) % period == 0 else "sliding_attention" for i in range(layers))
    if not config.get("sliding_window"):
        return ("full_attention",) * layers
    if family == "mistral":
        return ("sliding_attention",) * layers
    if not config.get("use_sliding_window", False):
        return ("full_attention",) * layers
    first = int(config.get("max_window_layers", 0))
    return tuple("sliding_attention" if i >= first else "full_attention" for i in range(layers))


def _rotary(config: Mapping[str, Any], kind: str, width: int) -> Rotary:
    given = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    if kind in given:
        given = dict(given[kind] or {})
    elif kind == "sliding_attention" and config.get("rope_local_base_freq"):
        given = {"rope_theta": config["rope_local_base_freq"]}
    theta = float(given.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    plain = [theta ** (-2 * i / width) for i in range(width // 2)]
    scaling = str(given.get("rope_type") or given.get("type") or "default")
    factor = float(given.get("factor") or 1.0)
    if scaling == "default":
        return Rotary(tuple(plain))
    if scaling == "linear":
        return Rotary(tuple(value / factor for value in plain))
    if scaling == "llama3":
        return Rotary(tuple(_llama3(value, factor, given) for value in plain))
    if scaling == "yarn":
        return _yarn(config, given, theta, factor, plain)
    raise DataError(f"rotary scaling {scaling!r} is not supported here; use lms/hf:path=...")


def _llama3(frequency: float, factor: float, given: Mapping[str, Any]) -> float:
    """Llama 3.1's rule: long waves are stretched, short ones kept, those between interpolated."""
    low, high = float(given["low_freq_factor"]), float(given["high_freq_factor"])
    wave = 2 * math.pi / frequency
    trained = float(given["original_max_position_embeddings"])
    if wave < trained / high:
        return frequency
    if wave > trained / low:
        return frequency / factor
    smooth = (trained / wave - low) / (high - low)
    return (1 - smooth) * frequency / factor + smooth * frequency


def _yarn(
    config: Mapping[str, Any], given: Mapping[str, Any], theta: float, factor: float, plain: list[float]
) -> Rotary:
    """YaRN (Peng et al. 2023), section 3: a ramp over the dimensions between interpolation and extrapolation."""
    width = 2 * len(plain)
    trained = float(given.get("original_max_position_embeddings") or config["max_position_embeddings"])

    def dimension(rotations: float) -> float:
        return width * math.log(trained / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low = dimension(float(given.get("beta_fast") or 32))
    high = dimension(float(given.get("beta_slow") or 1))
    if given.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    span = max(high - low, 0.001)
    kept = [1 - min(max((i - low) / span, 0.0), 1.0) for i in range(width // 2)]
    mixed = tuple(value / factor * (1 - keep) + value * keep for value, keep in zip(plain, kept, strict=True))

    def magnitude(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    attention = given.get("attention_factor")
    if attention is None:
        all_dims, one_dim = float(given.get("mscale_all_dim") or 0), float(given.get("mscale") or 0)
        attention = magnitude(one_dim) / magnitude(all_dims) if all_dims and one_dim else magnitude(1.0)
    return Rotary(mixed, float(attention))
