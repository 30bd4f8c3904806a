"""Do the tensors of a folder belong to its `config.json`? All that the network reads, of its sizes, and no more."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from harness.api.errors import DataError
from harness.models.lms._folder import Tensors
from harness.models.lms._shape import Shape

LAYER = re.compile(r"model\.layers\.(\d+)\.")
# 8-bit floats carry scales of their own
FLOATS = ("F64", "F32", "F16", "BF16")

Sides = tuple[tuple[str, int], ...]  # the sides of a tensor: which keys of the configuration say it, and how long it is


def refuse_disagreement(folder: Path, shape: Shape, tensors: Tensors) -> None:
    """DataError that names the key of the configuration which the tensors contradict."""
    held = {int(match[1]) for name in tensors.names if (match := LAYER.match(name))}
    if held != set(range(shape.layers)):
        found = f"{len(held)} layers" + (f" up to number {max(held)}" if held else "")
        raise DataError(f"{folder}: config.json says num_hidden_layers={shape.layers}, but the weights hold {found}.")
    wanted = dict(expected(shape))
    names = set(tensors.names)
    for name, sides in wanted.items():
        if name not in names:
            raise DataError(
                f"{folder}: config.json asks for a tensor {name!r}, which the weights do not hold.{_key(name)}"
            )
        sizes, kind = tensors.form(name)
        if kind not in FLOATS:
            raise DataError(f"{folder}: {name} is stored as {kind}, which is not read here; use lms/hf:path=...")
        for number, (key, length) in enumerate(sides):
            if len(sizes) != len(sides) or sizes[number] != length:
                raise DataError(f"{folder}: config.json says {key} = {length}, but {name} has the sizes {list(sizes)}.")
    for name in tensors.names:
        if name not in wanted and LAYER.match(name) and not name.endswith("rotary_emb.inv_freq"):
            raise DataError(
                f"{folder} holds a tensor {name!r}, which the {shape.family} network of its config.json does not have."
                f"{_key(name)}"
            )
    if shape.tied and "lm_head.weight" in names and not _is_embedding(tensors):
        raise DataError(f"{folder}: config.json says tie_word_embeddings, but lm_head.weight is not the embedding.")


def count(shape: Shape, tensors: Tensors) -> int:
    """Numbers in the tensors that the network reads."""
    return sum(math.prod(tensors.form(name)[0]) for name, _ in expected(shape))


def expected(shape: Shape) -> Iterator[tuple[str, Sides]]:
    """Every tensor of the network with its sides."""
    width = ("hidden_size", shape.width)
    words = ("vocab_size", shape.vocabulary)
    inner = ("intermediate_size", shape.hidden)
    query = ("num_attention_heads x head_dim", shape.heads * shape.head_width)
    key = ("num_key_value_heads x head_dim", shape.kv_heads * shape.head_width)
    matrices = {
        "self_attn.q_proj": (query, width),
        "self_attn.k_proj": (key, width),
        "self_attn.v_proj": (key, width),
        "self_attn.o_proj": (width, query),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    biased = {f"self_attn.{part}_proj": shape.qkv_bias for part in "qkv"} | {"self_attn.o_proj": shape.output_bias}
    norms = ["input_layernorm", "post_attention_layernorm"]
    norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"] if shape.gemma else []
    yield "model.embed_tokens.weight", (words, width)
    yield "model.norm.weight", (width,)
    if not shape.tied:
        yield "lm_head.weight", (words, width)
    for layer in range(shape.layers):
        start = f"model.layers.{layer}."
        for name, sides in matrices.items():
            yield f"{start}{name}.weight", sides
            if biased.get(name, shape.mlp_bias):
                yield f"{start}{name}.bias", sides[:1]
        for name in norms:
            yield f"{start}{name}.weight", (width,)
        if shape.qk_norm:
            for name in ("q_norm", "k_norm"):
                yield f"{start}self_attn.{name}.weight", (("head_dim", shape.head_width),)


def _key(name: str) -> str:
    """Which key decides about a tensor, where one does."""
    if name == "lm_head.weight":
        return " See tie_word_embeddings."
    if name.endswith(".bias"):
        return f" See {'mlp_bias' if '.mlp.' in name else 'attention_bias'}."
    return ""


def _is_embedding(tensors: Tensors) -> bool:
    names = ("lm_head.weight", "model.embed_tokens.weight")
    if tensors.form(names[0]) != tensors.form(names[1]):
        return False
    head, embedding = (tensors.read(name, torch.float32, "cpu") for name in names)
    return bool(torch.equal(head, embedding))
