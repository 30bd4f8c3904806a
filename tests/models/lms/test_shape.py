"""What does `config.json` mean, and do the weights beside it agree? As transformers has it, or a line with the key."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from harness.api.errors import DataError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Score, Scored
from harness.models.lms._folder import Tensors
from harness.models.lms._shape import read_shape
from harness.models.lms._text import TextModel
from harness.models.lms.llama import Llama
from harness.sources import DataSources

SETTING = Setting(DataSources(None, online=False))
# 32 heads, so that every family's default number of key heads divides them
SIZES = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 30, "num_attention_heads": 32,
}  # fmt: skip
FULL = {
    "num_key_value_heads": 8, "head_dim": 4, "sliding_window": 16, "use_sliding_window": True, "max_window_layers": 2,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-4, "tie_word_embeddings": True, "eos_token_id": 7,
    "rope_theta": 5e5, "query_pre_attn_scalar": 9, "sliding_window_pattern": 3, "rope_local_base_freq": 3e4,
}  # fmt: skip
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text")


def meant(config: dict[str, Any]) -> dict[str, Any]:
    """What transformers reads in a configuration, in our words."""
    theirs = transformers.AutoConfig.for_model(**config)
    family, layers = config["model_type"], theirs.num_hidden_layers
    kinds = (
        getattr(theirs, "layer_types", None)
        or ["sliding_attention" if family == "mistral" else "full_attention"] * layers
    )
    window = 0 if family == "llama" else theirs.sliding_window or 0
    angles = getattr(theirs, "rope_parameters", None)
    if angles is None:
        # before 5.x: one frequency in the config's own words, and Gemma's second one under its own name
        angles = {"rope_theta": theirs.rope_theta}
        angles |= {"sliding_attention": {"rope_theta": theirs.rope_local_base_freq}} if family == "gemma3_text" else {}
    width = getattr(theirs, "head_dim", None) or theirs.hidden_size // theirs.num_attention_heads
    return {
        "kv_heads": theirs.num_key_value_heads,
        "head_width": width,
        "windows": tuple(window if kind == "sliding_attention" else 0 for kind in kinds),
        "context_length": theirs.max_position_embeddings,
        "epsilon": theirs.rms_norm_eps,
        "tied": theirs.tie_word_embeddings,
        "eos": () if theirs.eos_token_id is None else (theirs.eos_token_id,),
        "scale": (theirs.query_pre_attn_scalar if family == "gemma3_text" else width) ** -0.5,
        "theta": tuple(angles.get(kind, angles)["rope_theta"] for kind in kinds),
    }


@pytest.mark.parametrize("absent", [*FULL, "all", "none"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_key_that_is_absent_is_what_transformers_takes(family: str, absent: str) -> None:
    kept = {} if absent == "all" else {key: value for key, value in FULL.items() if key != absent}
    config = {"model_type": family} | SIZES | kept
    shape, expected = read_shape(config), meant(config)
    for name, value in expected.items():
        if name != "theta":
            assert getattr(shape, name) == value, name
    # the second frequency is theta ** (-2 / width)
    found = tuple(
        rotary.frequencies[1] ** (-shape.head_width / 2) if shape.head_width > 2 else 0 for rotary in shape.rotaries
    )
    assert shape.head_width == 2 or found == pytest.approx(expected["theta"])


@pytest.mark.parametrize("key", list(SIZES))
def test_a_size_that_is_absent_is_refused_by_its_name(key: str) -> None:
    config = {"model_type": "llama"} | {name: value for name, value in SIZES.items() if name != key}
    with pytest.raises(DataError, match=f"{key} is missing"):
        read_shape(config)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("num_hidden_layers", value) for value in (0, -1, 10**9, 10**30, "2", 1.5, True, [2], math.nan)],
        *[(key, value) for key in ("vocab_size", "hidden_size", "intermediate_size") for value in (-1, 0, 10**30, "x")],
        *[("num_attention_heads", value) for value in (0, 3, 10**9)],
        *[("head_dim", value) for value in (-2, 3, 10**9)],
        *[("num_key_value_heads", value) for value in (0, 3, -1, 64)],
        *[("max_position_embeddings", value) for value in (0, 1e400, "long")],
        *[("rms_norm_eps", value) for value in (-0.5, math.nan, math.inf, "1e-5")],
        *[("rope_theta", value) for value in (math.nan, 0, -1, 1, 10**400)],
        *[("layer_types", value) for value in (["x"] * 30, ["full_attention"] * 29, "full_attention", 3)],
        ("tie_word_embeddings", "false"),
        *[("sliding_window", value) for value in (-3, "4096", 1.5)],
        *[("rope_scaling", value) for value in ("linear", {"rope_type": "dynamic", "factor": 2}, {"type": "linear"})],
        *[
            ("rope_scaling", {"rope_type": kind, "factor": value})
            for kind in ("linear", "yarn")
            for value in (-1, 0, math.nan)
        ],
        ("rope_scaling", {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0}),
        ("rope_scaling", {"rope_type": "llama3", "factor": 8.0, "high_freq_factor": 4.0}),
        (
            "rope_scaling",
            {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [2.0], "attention_factor": 1.0},
        ),
        ("rope_scaling", {"rope_type": "longrope", "short_factor": [1.0] * 3, "long_factor": [1.0] * 3}),
        *[("eos_token_id", value) for value in (320, -1, [1, 320], "</s>", True)],
        ("bos_token_id", 320),
        ("hidden_act", "gelu"),
        ("use_bidirectional_attention", True),
        ("quantization_config", {"quant_method": "fp8"}),
        ("attention_bias", 1),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_key(key: str, value: object) -> None:
    with pytest.raises(DataError) as caught:
        read_shape({"model_type": "llama", "max_position_embeddings": 512} | SIZES | {key: value})
    assert key in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def place(checkpoint: Callable[..., Path]) -> Path:
    return checkpoint("llama")


def changed(
    source: Path,
    target: Path,
    config: dict[str, Any] | None = None,
    tensors: Callable[[dict[str, torch.Tensor]], None] | None = None,
) -> Path:
    """The checkpoint with another configuration, or other tensors."""
    target.mkdir(exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (target / name).write_bytes((source / name).read_bytes())
    stored = json.loads((source / "config.json").read_text()) | (config or {})
    (target / "config.json").write_text(json.dumps(stored))
    held = load_file(source / "model.safetensors")
    if tensors is not None:
        tensors(held)
    save_file(held, target / "model.safetensors")
    return target


def load(path: Path) -> TextModel:
    return Llama(path=path).load(SETTING)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_hidden_layers": 1}, "num_hidden_layers=1, but the weights hold 2 layers"),
        ({"num_hidden_layers": 3}, "num_hidden_layers=3, but the weights hold 2 layers"),
        ({"vocab_size": 321}, "vocab_size = 321"),
        ({"hidden_size": 64}, "hidden_size = 64"),
        ({"intermediate_size": 1}, "intermediate_size = 1"),
        ({"head_dim": 16}, "num_attention_heads x head_dim = 64"),
        ({"num_key_value_heads": 4}, "num_key_value_heads x head_dim = 32"),
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings"),
        ({"model_type": "qwen2"}, "attention_bias"),
        ({"model_type": "qwen3"}, "q_norm"),
    ],
)
def test_a_configuration_that_contradicts_the_weights_is_refused(
    place: Path, tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        load(changed(place, tmp_path / "model", config))


def put(name: str, value: torch.Tensor) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda held: held.update({name: value})


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (put("model.layers.0.self_attn.q_proj.bias", torch.zeros(32)), "does not have. See attention_bias"),
        (put("model.layers.0.mlp.up_proj.weight_scale", torch.zeros(1)), "weight_scale"),
        (put("model.layers.1.self_attn.q_norm.weight", torch.ones(8)), "q_norm"),
        (put("model.norm.weight", torch.ones(32, dtype=torch.int32)), "stored as I32"),
        (put("model.norm.weight", torch.ones(32).to(torch.float8_e4m3fn)), "stored as F8"),
        (
            put("model.norm.weight", torch.ones(1, 32)),
            r"hidden_size = 32, but model.norm.weight has the sizes \[1, 32\]",
        ),
        (lambda held: held.pop("lm_head.weight"), "See tie_word_embeddings"),
        (lambda held: held.pop("model.layers.1.input_layernorm.weight"), "input_layernorm"),
        (lambda held: held.pop("model.embed_tokens.weight"), "0 tensors that could be the embedding"),
    ],
)
def test_tensors_that_contradict_the_configuration_are_refused(
    place: Path, tmp_path: Path, tensors: Callable[[dict[str, torch.Tensor]], None], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        load(changed(place, tmp_path / "model", tensors=tensors))


def test_a_tensor_in_two_files_is_refused(place: Path, tmp_path: Path) -> None:
    model = changed(place, tmp_path / "model")
    save_file({"model.norm.weight": torch.ones(32)}, model / "other.safetensors")
    with pytest.raises(DataError, match="lies both in"):
        load(model)


def test_a_head_that_is_kept_beside_a_tied_embedding_must_equal_it(place: Path, tmp_path: Path) -> None:
    model = changed(
        place,
        tmp_path / "model",
        {"tie_word_embeddings": True},
        lambda held: held.update({"lm_head.weight": held["model.embed_tokens.weight"].clone()}),
    )
    embedding = 320 * 32
    # two layers of 32 x (32 + 16 + 16 + 32 + 3 x 48) + 2 norms, and the last norm; the tied embedding counts once
    assert load(model).identity["parameters"] == embedding + 2 * (32 * (96 + 144) + 64) + 32
    assert load(place).identity["parameters"] == 2 * embedding + 2 * (32 * (96 + 144) + 64) + 32


@pytest.mark.parametrize("prefix", ["", "language_model.model.", "model.language_model."])
def test_the_language_model_is_found_under_other_names(place: Path, tmp_path: Path, prefix: str) -> None:
    def renamed(held: dict[str, torch.Tensor]) -> None:
        for name in [name for name in held if name.startswith("model.")]:
            held[prefix + name.removeprefix("model.")] = held.pop(name)
        if prefix:
            held["vision_tower.layers.0.weight"] = torch.zeros(3)

    model = changed(place, tmp_path / "model", tensors=renamed)
    assert set(Tensors(model).names) == set(Tensors(place).names)
    pair = [load(path).score([Score("The cat", " sat")], meter=SilentMeter())[0] for path in (place, model)]
    assert isinstance(pair[0], Scored)
    assert pair[0] == pair[1]


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("llama", {"attention_bias": True, "mlp_bias": True}),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 8}),
        ("gemma3_text", {"head_dim": 8}),
        ("mistral", {"tie_word_embeddings": True}),
    ],
)
def test_parameters_are_those_that_transformers_counts(
    place: Path, tmp_path: Path, family: str, options: dict[str, Any]
) -> None:
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 320,
    }
    config = transformers.AutoConfig.for_model(family, **sizes, num_key_value_heads=2, **options, pad_token_id=None)
    network = transformers.AutoModelForCausalLM.from_config(config)
    network.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((place / name).read_bytes())
    assert load(tmp_path).identity["parameters"] == network.num_parameters()
