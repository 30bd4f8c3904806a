"""lms/llama: any local Llama-family folder or GGUF file on the project's own runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.lms._folder import text_digest, weights_digest
from harness.models.lms._linear import RUNTIME, Weights
from harness.models.lms._loading import model_folder, put_up
from harness.models.lms._text import Template, TextModel


@model(
    version=2,
    doors=("generate", "score"),
    decodes=True,
    paper="https://arxiv.org/abs/2302.13971",
    licence="the checkpoint's own",
    differs="none",
)
class Llama:
    """Llama, Mistral, Qwen 2, Qwen 3 and Gemma 3 (text) from `path`: safetensors folder, or GGUF (dequantised once).

    A `config.json` that contradicts the tensors is refused; what it lacks is what transformers takes for the family.
    A continuation that melts into its context at the join is encoded apart. A chat template's "today" is 26 July 2024.

    Differs from the paper: none.
    """

    path: Path
    weights: Weights = "full"
    template: Template = "auto"
    context_length: int = 0  # tokens; 0 is the model's own

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """sha256 of the weights and of the tokenizer; a GGUF file holds both."""
        model_folder(self.path)
        found = {"weights": weights_digest(self.path), "runtime": RUNTIME[self.weights]}
        return found if self.path.is_file() else {**found, "tokenizer": text_digest(self.path)}

    def load(self, setting: Setting) -> TextModel:
        """Read the folder; DataError when it is missing, damaged or of another family."""
        return put_up(
            self.path, setting, weights=self.weights, template=self.template, context_length=self.context_length
        )
