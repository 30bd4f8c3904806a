"""What does a checkpoint's `config.json` say about the network? Sizes, rotary angles, windows, norms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.api.errors import DataError
from harness.models.lms._rotary import Rotary, read_rotary
from harness.models.lms._settings import Settings


@dataclass(frozen=True, slots=True)
class Family:
    """What transformers 5.24 takes where a `config.json` of the family is silent (its `configuration_*.py`)."""

    kv_heads: int  # 0: as many as heads
    head_width: int  # 0: the width over the heads
    window: int  # 0: none
    context_length: int  # tokens
    eos: int | None


FAMILIES = {
    "llama": Family(kv_heads=0, head_width=0, window=0, context_length=2048, eos=2),
    "mistral": Family(kv_heads=8, head_width=0, window=4096, context_length=131_072, eos=2),
    "qwen2": Family(kv_heads=32, head_width=0, window=4096, context_length=32_768, eos=None),
    "qwen3": Family(kv_heads=32, head_width=128, window=4096, context_length=32_768, eos=None),
    "gemma3_text": Family(kv_heads=4, head_width=256, window=4096, context_length=131_072, eos=1),
}
KINDS = ("full_attention", "sliding_attention")
# beyond any network; without a bound, a damaged file would ask for all memory before a tensor is looked at
MOST_LAYERS = 10_000
WIDEST_HEAD = 1 << 16

# key -> the values that change nothing here
PLAIN: dict[str, tuple[object, ...]] = {
    "partial_rotary_factor": (None, 1.0),
    "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,),
    # weights in 4 or 8 bits carry scales of their own, without which they are other numbers
    "quantization_config": (None,),
}


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
    """The shape that a `config.json` describes; a key that it lacks is what transformers takes for the family.

    Errors: DataError when the family or an option is not supported, or a value cannot be; it names the key.
    """
    name, given = config.get("model_type"), Settings(config)
    if not isinstance(name, str) or name not in FAMILIES:
        raise DataError(
            f"model_type {str(name)[:60]!r} is not of the Llama family ({', '.join(FAMILIES)}); use lms/hf:path=..."
        )
    for key, plain in PLAIN.items():
        if config.get(key) not in plain:
            raise given.refused(key, "it is not supported here; use lms/hf:path=...")
    for key, causal in {"use_bidirectional_attention": False, "is_causal": True}.items():
        if config.get(key) not in (None, causal):
            raise DataError(
                f"config option {key}={str(config[key])[:60]}: the attention of this checkpoint is not causal, so that "
                f"it gives no probabilities of a next token; give a causal checkpoint."
            )
    family, gemma = FAMILIES[name], name == "gemma3_text"
    heads, width = given.whole("num_attention_heads"), given.whole("hidden_size")
    key_heads, head_width = _head_sizes(given, family, heads, width)
    layers = given.whole("num_hidden_layers", most=MOST_LAYERS)
    _check_activation(given, gemma)
    vocabulary = given.whole("vocab_size")
    kinds = _layer_kinds(given, name, layers)
    window = _window(given, family, name, used="sliding_attention" in kinds)
    rotaries = {kind: read_rotary(given, kind, head_width, gemma=gemma) for kind in sorted(set(kinds))}
    bias = given.flag("attention_bias", False)
    return Shape(
        family=name,
        vocabulary=vocabulary,
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=key_heads,
        head_width=head_width,
        hidden=given.whole("intermediate_size"),
        context_length=given.whole("max_position_embeddings", family.context_length),
        epsilon=given.number("rms_norm_eps", 1e-6, above=-1.0, least=0.0),
        tied=given.flag("tie_word_embeddings", gemma),
        windows=tuple(window if kind == "sliding_attention" else 0 for kind in kinds),
        rotaries=tuple(rotaries[kind] for kind in kinds),
        scale=(given.number("query_pre_attn_scalar", 256.0) if gemma else head_width) ** -0.5,
        qkv_bias=name == "qwen2" or bias,
        output_bias=name != "qwen2" and bias,
        mlp_bias=given.flag("mlp_bias", False),
        qk_norm=name == "qwen3" or gemma,
        gemma=gemma,
        eos=_tokens(given, "eos_token_id", family.eos, vocabulary),
        bos=next(iter(_tokens(given, "bos_token_id", None, vocabulary)), None),
    )


def angles(shape: Shape, layer: int, length: int) -> Tensor:
    """Unit complex numbers [length, head_width / 2] by which the rotary pairs of a position are multiplied."""
    rotary = shape.rotaries[layer]
    frequencies = torch.tensor(rotary.frequencies, dtype=torch.float32)
    turns = torch.arange(length, dtype=torch.float32)[:, None] * frequencies
    return torch.polar(torch.full_like(turns, rotary.factor), turns)


def _head_sizes(given: Settings, family: Family, heads: int, width: int) -> tuple[int, int]:
    """Heads of keys and values, and the width of a head."""
    silent = {key for key in ("num_key_value_heads", "head_dim") if key in given.given and not given.has(key)}
    # a null is what the family would compute, an absent key what it would take
    key_heads = given.whole(
        "num_key_value_heads", heads if silent & {"num_key_value_heads"} else family.kv_heads or heads
    )
    if heads % key_heads:
        raise DataError(
            f"config.json: num_attention_heads is {heads}, which num_key_value_heads={key_heads} does not divide"
            + ("." if given.has("num_key_value_heads") else " (the family's default, since the key is missing).")
        )
    own = 0 if "head_dim" in silent else family.head_width
    head_width = given.whole("head_dim", own or max(1, width // heads), most=WIDEST_HEAD)
    if head_width % 2:
        found = (
            f"head_dim={head_width}" if given.has("head_dim") else f"hidden_size={width} of num_attention_heads={heads}"
        )
        raise DataError(f"config.json: {found} makes heads of width {head_width}; an even width was expected.")
    return key_heads, head_width


def _check_activation(given: Settings, gemma: bool) -> None:
    key = "hidden_activation" if gemma else "hidden_act"
    wanted = ("gelu_pytorch_tanh",) if gemma else ("silu", "swish")
    if given.word(key, wanted[0]) not in wanted:
        raise given.refused(key, f"only {wanted[0]} is supported here; use lms/hf:path=...")


def _layer_kinds(given: Settings, family: str, layers: int) -> tuple[str, ...]:
    if given.has("layer_types"):
        kinds = given.given["layer_types"]
        if not isinstance(kinds, list | tuple) or len(kinds) != layers or not all(kind in KINDS for kind in kinds):
            raise given.refused("layer_types", f"a list of {layers} out of {' and '.join(KINDS)} was expected")
        return tuple(kinds)
    if family == "gemma3_text":
        period = given.whole("sliding_window_pattern", 6)
        return tuple("full_attention" if (i + 1) % period == 0 else "sliding_attention" for i in range(layers))
    if "sliding_window" in given.given and not given.has("sliding_window"):
        return ("full_attention",) * layers
    if family == "mistral":
        return ("sliding_attention",) * layers
    if family == "llama" or not given.flag("use_sliding_window", False):
        return ("full_attention",) * layers
    first = given.whole("max_window_layers", 28, least=0)
    return tuple("sliding_attention" if i >= first else "full_attention" for i in range(layers))


def _window(given: Settings, family: Family, name: str, *, used: bool) -> int:
    if not used:
        return 0 if not given.has("sliding_window") else min(0, given.whole("sliding_window", least=0))
    if name.startswith("qwen") and not given.flag("use_sliding_window", False):
        raise given.refused("layer_types", "sliding_attention needs use_sliding_window")
    if "sliding_window" in given.given and not given.has("sliding_window"):
        raise given.refused("sliding_window", "layers of sliding_attention need one")
    return given.whole("sliding_window", family.window or None)


def _tokens(given: Settings, key: str, default: int | None, vocabulary: int) -> tuple[int, ...]:
    """The ids that a key names: one, several or none; an id that the vocabulary does not hold is refused."""
    if key not in given.given:
        return () if default is None or default >= vocabulary else (default,)
    value = given.given[key]
    ids = value if isinstance(value, list | tuple) else [] if value is None else [value]
    if not all(isinstance(item, int) and not isinstance(item, bool) and 0 <= item < vocabulary for item in ids):
        raise given.refused(key, f"tokens of the vocabulary (0 to {vocabulary - 1}) were expected")
    return tuple(ids)
