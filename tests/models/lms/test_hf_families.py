"""Every family of transformers under lms/hf is as a plain pass of transformers, or refused in one line.

`python -m pytest tests/models/lms/test_hf_families.py -s -m "slow or not slow"` prints what became of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from harness.api.errors import DataError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Generate, Generated, Score, Scored
from harness.models.decoders.prompt_lookup import PromptLookup
from harness.models.lms.hf import Hf
from harness.sources import DataSources

METER = SilentMeter()
SETTING = Setting(DataSources(None, online=False))
PAIRS = [("The cat", " sat on the mat and the dog ran"), ("Question: who?", " Answer: nobody."), ("one", " B. two")]
PROMPTS = ["The cat sat on the mat and the dog ran to the door. The cat sat on the", "who? Answer: who? Answer:", "one"]


SIZES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128,
}  # fmt: skip
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
BERT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
EXPERTS = {
    "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}  # fmt: skip
MAMBA = {
    "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_expand": 2,
    "mamba_chunk_size": 8,
}  # fmt: skip
LATENT = SIZES | {
    "num_key_value_heads": 4, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 8, "head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
}  # fmt: skip
WINDOWS = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
DELTA = {
    "layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 8, "linear_value_head_dim": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """A checkpoint to try; `refused` are words of the refusal that is the right outcome."""

    kind: str  # model_type
    config: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    refused: str = ""
    since: str = "4"  # the first release whose own plain pass is right after loading

    @property
    def name(self) -> str:
        """For tables and test names."""
        return f"{self.kind} {self.note}".strip().replace(" ", "-")


# of each kind of memory and of each reason to refuse one
QUICK = (
    Family("gpt_neox", SIZES),
    Family("opt", {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 48, "num_hidden_layers": 2,
                   "num_attention_heads": 4, "max_position_embeddings": 128}),
    Family("falcon", BERT | {"alibi": True}, "alibi"),
    Family("gpt_neo", {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": 6,
                       "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 128}),
    Family("gemma3_text", SIZES | WINDOWS),
    Family("llama4_text", SIZES | {"attention_chunk_size": 8, "intermediate_size_mlp": 48, "num_local_experts": 2,
                                   "layer_types": ["chunked_attention", "full_attention"], "no_rope_layers": [1, 0],
                                   "moe_layers": [1]}),
    Family("mamba2", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "num_heads": 4, "head_dim": 16,
                      "n_groups": 1, "chunk_size": 8}),
    Family("bamba", SIZES | MAMBA | {"attn_layer_indices": [1]}),
    Family("lfm2", SIZES | {"layer_types": ["conv", "full_attention"]}),
    Family("recurrent_gemma", SIZES | {"num_key_value_heads": 1, "lru_width": 32, "attention_window_size": 16,
                                       "num_hidden_layers": 3}, since="5.3"),
    Family("qwen3_next", SIZES | EXPERTS | DELTA),
    Family("bert", BERT, refused="no causal attention"),
    Family("gemma3_text", SIZES | WINDOWS | {"use_bidirectional_attention": True}, "both ways",
           refused="no causal attention"),
)  # fmt: skip

SLOW = (
    Family("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    Family("mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128}),
    Family("gptj", GPT | {"rotary_dim": 4}),
    Family("codegen", GPT | {"rotary_dim": 4}),
    Family("gpt_bigcode", GPT | {"multi_query": True}),
    Family("openai-gpt", GPT),
    Family("ctrl", GPT | {"dff": 48}),
    Family("xglm", {"d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 4,
                    "max_position_embeddings": 128}),
    Family("biogpt", SIZES),
    Family("bart", {"d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 48,
                    "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 48,
                    "max_position_embeddings": 128, "is_encoder_decoder": False, "is_decoder": True}, "decoder"),
    Family("phi", SIZES),
    Family("phi3", SIZES),
    Family("qwen2", SIZES | {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}),
    Family("qwen2_moe", SIZES | EXPERTS),
    Family("qwen3_moe", SIZES | EXPERTS),
    Family("qwen3_5_text", SIZES | DELTA),
    Family("mixtral", SIZES | EXPERTS | {"sliding_window": 6}),
    Family("gemma", SIZES),
    Family("gemma2", SIZES | WINDOWS),
    Family("gemma3n_text", SIZES | WINDOWS | {
        "num_hidden_layers": 4, "num_kv_shared_layers": 2, "laurel_rank": 4, "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 320, "activation_sparsity_pattern": None,
        "layer_types": ["sliding_attention", "full_attention"] * 2}),
    Family("cohere2", SIZES | WINDOWS),
    Family("olmo2", SIZES),
    Family("stablelm", SIZES),
    Family("starcoder2", SIZES | {"sliding_window": 6}),
    Family("gpt_oss", SIZES | EXPERTS | WINDOWS),
    Family("granite", SIZES),
    Family("granitemoehybrid", SIZES | EXPERTS | MAMBA | {"layer_types": ["mamba", "attention"],
                                                          "shared_intermediate_size": 16}),
    Family("jamba", SIZES | EXPERTS | {"mamba_d_state": 8, "mamba_dt_rank": 4, "attn_layer_period": 2,
                                       "attn_layer_offset": 1, "use_mamba_kernels": False}),
    Family("falcon_h1", SIZES | MAMBA | {"mamba_d_ssm": 64}),
    Family("falcon_mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "time_step_rank": 4}),
    Family("deepseek_v2", LATENT),
    Family("deepseek_v3", LATENT),
    Family("minimax", SIZES | EXPERTS | {"layer_types": ["linear_attention", "full_attention"], "block_size": 8}),
    Family("helium", SIZES),
    Family("glm4", SIZES),
    Family("nemotron", SIZES),
    Family("persimmon", SIZES),
    Family("bert", BERT | {"is_decoder": True}, "decoder"),
    Family("roberta", BERT | {"is_decoder": True, "max_position_embeddings": 130}, "decoder"),
    Family("xlnet", {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48}, refused="no causal attention"),
    Family("xlm", {"emb_dim": 32, "n_layers": 2, "n_heads": 4}, refused="no causal attention"),
    Family("roformer", BERT, refused="no causal attention"),
    Family("electra", BERT, refused="no causal attention"),
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    "family",
    [*(pytest.param(each, id=each.name) for each in QUICK)]
    + [pytest.param(each, id=each.name, marks=pytest.mark.slow) for each in SLOW],
)
def test_a_family_is_as_plain_transformers_or_refused_in_one_line(
    family: Family, checkpoint: Callable[..., Path]
) -> None:
    if family.kind not in CONFIG_MAPPING:
        pytest.skip(f"this release of transformers has no {family.kind}")
    if Version(transformers.__version__) < Version(family.since):
        # 5.0 and 5.1 leave angles as memory held them, and give other logits at each load
        pytest.skip(f"transformers is right about {family.kind} since {family.since}")
    place = checkpoint(family.kind, config=family.config)
    if family.refused:
        with pytest.raises(DataError, match=family.refused) as caught:
            Hf(path=str(place)).load(SETTING)
        assert "\n" not in str(caught.value)
        print(f"{family.name:24} refused: {str(caught.value)[:70]}")
        return
    network, tokenizer = AutoModelForCausalLM.from_pretrained(place).eval(), AutoTokenizer.from_pretrained(place)
    try:
        _plain_tokens(network, tokenizer, PROMPTS[0])
    except RuntimeError as problem:
        # kernels of another package, which transformers takes where it is installed, want a GPU
        pytest.skip(f"transformers itself cannot run {family.kind} here: {problem}")
    model = Hf(path=str(place)).load(SETTING)
    together = model.score([Score(*pair) for pair in PAIRS], meter=METER)
    for pair, scored in zip(PAIRS, together, strict=True):
        assert isinstance(scored, Scored), scored
        assert scored.logprobs == pytest.approx(_plain_scores(network, tokenizer, *pair), abs=1e-3), pair
    requests = [Generate(prompt, 16) for prompt in PROMPTS]
    greedy = model.generate(requests, decoder=None, seeds=[0] * 3, meter=METER)
    copied = model.generate(requests, decoder=PromptLookup(ngram=1, draft=4), seeds=[0] * 3, meter=METER)
    for prompt, plain, drafted in zip(PROMPTS, greedy, copied, strict=True):
        assert isinstance(plain, Generated), plain
        assert isinstance(drafted, Generated), drafted
        assert list(plain.tokens) == _plain_tokens(network, tokenizer, prompt), prompt
        assert drafted.tokens == plain.tokens, prompt
    assert sum(answer.drafted for answer in copied if isinstance(answer, Generated)) > 0
    print(f"{family.name:24} right: {model.facts['rewind']}")


@torch.no_grad()
def _plain_scores(network: Any, tokenizer: Any, context: str, continuation: str) -> list[float]:
    """Log-probabilities of the continuation by one pass over one row."""
    before, ids = tokenizer(context)["input_ids"], tokenizer(context + continuation)["input_ids"]
    assert ids[: len(before)] == before
    law = torch.log_softmax(network(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double(), -1)
    return [float(law[place - 1, ids[place]]) for place in range(len(before), len(ids))]


@torch.no_grad()
def _plain_tokens(network: Any, tokenizer: Any, prompt: str) -> list[int]:
    """Arg-maxima of whole passes over one growing row, up to the end token."""
    ids = list(tokenizer(prompt)["input_ids"])
    start = len(ids)
    while len(ids) < start + 16:
        best = int(network(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if best == 1:
            break
        ids.append(best)
    return ids[start:]
