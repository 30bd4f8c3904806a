"""lms/hf: any causal language model of transformers, from a local folder, a GGUF file or the hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import transformers
from transformers import AutoModelForCausalLM

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.lms._folder import text_digest, weights_digest
from harness.models.lms._hf_forward import REWINDS
from harness.models.lms._hf_loading import (
    context_of,
    end_tokens,
    folder_for,
    load_network,
    non_finite_layer,
    parameters,
)
from harness.models.lms._hf_probe import probe
from harness.models.lms._hf_runtime import HfRuntime
from harness.models.lms._hf_scoring import HfScorer
from harness.models.lms._text import Template, TextModel
from harness.models.lms._tokenizer import FolderTokenizer


@model(
    version=2,
    doors=("generate", "score"),
    decodes=True,
    paper="Wolf et al. 2020, Transformers: State-of-the-Art Natural Language Processing, arXiv:1910.03771",
    licence="the checkpoint's own",
    differs="none",
)
class Hf:
    """AutoModelForCausalLM behind the decoders and the scoring engine: the adapter for what `lms/llama` does not know.

    `path` is a folder, a .gguf file (dequantised once) or a hub id. Recurrent models (Mamba, RWKV) keep their own
    state; where it cannot be rewound, the kept tokens are read again. Weights are safetensors; code that a
    repository brings is never run. Texts become tokens as in `lms/llama`, melting joins and templates included.

    Differs from the paper: none.
    """

    path: str
    revision: str = ""  # commit of a hub repository; empty is the newest that the cache or the hub has
    gguf_file: str = ""  # a .gguf file inside the folder `path`
    template: Template = "auto"
    context_length: int = 0  # tokens; 0 is the model's own
    attention: Literal["auto", "eager", "sdpa"] = "auto"  # eager returns attention weights

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """sha256 of configuration, weights and tokenizer."""
        folder = folder_for(self.path, self.revision, self.gguf_file)
        return {
            "weights": weights_digest(folder),
            "tokenizer": text_digest(folder),
            "transformers": transformers.__version__,
        }

    def load(self, setting: Setting) -> TextModel:
        """Put the model up; DataError when it is missing, damaged or needs code of its own."""
        folder = folder_for(self.path, self.revision, self.gguf_file)
        network = load_network(folder, setting, AutoModelForCausalLM, self.attention)
        tokenizer = FolderTokenizer(folder)
        context_length = context_of(network, self.context_length)
        interface = probe(network, context_length)
        lm = HfRuntime(network, interface, context_length, end_tokens(network, tokenizer.eos))
        facts = {
            "family": network.config.model_type,
            "parameters": parameters(network),
            "dtype": str(network.dtype).removeprefix("torch."),
            "backend": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "rewind": REWINDS[interface.kind],
        }
        return TextModel(
            lm=lm,
            tokenizer=tokenizer,
            facts=facts,
            scorer=HfScorer(lm),
            template=self.template,
            debug=non_finite_layer(network),
        )
