"""embedders/folder: any sentence-transformers folder, or a plain encoder folder, by its path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.embedders._sentence_folder import folder_digest, put_up
from harness.models.embedders._vectors import EncoderModel


@model(
    doors=("embed",),
    paper="Reimers, Gurevych 2019, Sentence-BERT, arXiv:1908.10084",
    licence="the folder's own",
    differs="none",
)
class Folder:
    """A folder with `modules.json` (transformer, pooling, normalisation) and safetensors weights.

    A plain encoder folder without `modules.json` is mean-pooled. Texts are cut at the folder's own `max_seq_length`.

    Reimers, Gurevych 2019, "Sentence-BERT".
    Differs from the paper: none.
    """

    path: Path
    length: int = 0  # tokens; 0 is the folder's own

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Digest of weights, tokenizer and modules."""
        return {"weights": folder_digest(self.path), "version": "1"}

    def load(self, setting: Setting) -> EncoderModel:
        """Read the folder."""
        return put_up(self.path, setting, self.length)
