"""lms/scratch: a byte-level language model of any sequence mixer, trained here on a text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.registry import model
from harness.api.types import Budget
from harness.models._training import Recipe, Spec, fit
from harness.models.lms._bytes import END, ByteTokenizer
from harness.models.lms._gguf import cache_root
from harness.models.lms._recomputed import RecomputedModel
from harness.models.lms._scoring import ScoreRow, TokenScores
from harness.models.lms._text import TextModel
from harness.models.lms._training_prose import paragraphs
from harness.models.sequence._backbone import Backbone, Shape, cross_entropy, parameters
from harness.models.sequence._mixer import Site

# B batch, T time, V vocabulary

HELD_OUT = 20  # every so-manieth window validates


@model(
    doors=("generate", "score"),
    decodes=True,
    paper="",
    licence="Apache-2.0; trained on the Python documentation (PSF licence) unless corpus= is given",
    differs="not a published model: a common frame for language models of the sequence mixers",
)
class Scratch:
    """Predicts the next byte with `depth` layers of `mixer`, trained on first use and kept in the cache.

    The corpus is the prose of Python's documentation or the UTF-8 file `corpus`. Windows of `context` bytes are cut
    without overlap, every twentieth validates, and the best weights on those are kept. A fit that was killed resumes.
    Differs from the paper: there is none.
    """

    mixer: str = "sequence/transformer"
    corpus: Path | None = None
    width: int = 128
    depth: int = 4
    context: int = 256  # bytes
    steps: int = 1_000
    batch: int = 16  # windows
    learning_rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that make no sense."""
        if min(self.width, self.depth, self.steps, self.batch) < 1 or self.context < 8:
            raise UsageError("scratch needs width, depth, steps, batch >= 1 and context >= 8.")

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The corpus and every choice that shapes the weights."""
        text = "\n\n".join(paragraphs(self.corpus))
        return {"corpus": hashlib.sha256(text.encode()).hexdigest(), "training": "scratch/1"}

    def load(self, setting: Setting) -> TextModel:
        """Train, resume or load; DataError when the corpus cannot be read."""
        text = "\n\n".join(paragraphs(self.corpus)).encode()
        network = self.network().to(setting.device)
        folder = cache_root() / "scratch" / self._key(text)
        finished = (folder / "checkpoint.safetensors").exists()
        if not finished:
            setting.announce(f"training lms/scratch ({self.mixer}, {self.steps} steps) on {len(text):,} bytes.")
        self._fit(network, text, Setting(setting.sources, setting.device, folder=folder, progress=setting.progress))
        law = ByteLaw(network, self.context, setting.device)
        return TextModel(
            lm=RecomputedModel(law.after, END + 1, frozenset({END}), self.context),
            tokenizer=ByteTokenizer(),
            facts={"parameters": parameters(network), "mixer": self.mixer, "backend": f"torch-{setting.device}"},
            scorer=law,
            template="none",
        )

    def network(self) -> Backbone:
        """The untrained network."""
        entry = registry.create("model", f"{self.mixer}{',' if ':' in self.mixer else ':'}width={self.width}")
        torch.manual_seed(self.seed)
        shape = Shape(self.width, self.depth, END + 1, vocabulary=END + 1, per_position=True, tied=True)
        made = Backbone(
            shape, lambda layer: entry.mixer(Site(self.width, layer, self.depth, self.context, causal=True))
        )
        if not all(block.mixer.causal for block in made.stack):
            raise UsageError(f"{self.mixer} looks ahead, so it cannot predict the next byte.")
        return made

    def _fit(self, network: Backbone, text: bytes, setting: Setting) -> None:
        size = self.context + 1
        codes = np.frombuffer(text, np.uint8)
        count = len(codes) // size
        if count < HELD_OUT:
            raise UsageError(
                f"the corpus has {len(codes)} bytes; {HELD_OUT * size} are needed for context={self.context}."
            )
        windows = torch.from_numpy(codes[: count * size].reshape(count, size).astype(np.int64))
        held = torch.arange(count) % HELD_OUT == HELD_OUT - 1
        seen, unseen = windows[~held].to(setting.device), windows[held].to(setting.device)

        def batch_loss(rows_BT: Tensor) -> tuple[Tensor, int]:
            outputs, _ = network(rows_BT[:, :-1])
            return cross_entropy(outputs, rows_BT[:, 1:])

        def validate() -> float:
            values = [batch_loss(part)[0] for part in unseen.split(64)]
            return float(torch.stack(values).mean())

        recipe = Recipe(learning_rate=self.learning_rate, batch_examples=self.batch, batch_tokens=self.batch * size)
        spec = Spec([size] * len(seen), lambda rows: batch_loss(seen[torch.as_tensor(list(rows))]), validate)
        budget = Budget(steps=self.steps)
        fit(network, spec, recipe, budget=budget, seed=self.seed, setting=setting, meter=SilentMeter())

    def _key(self, text: bytes) -> str:
        choices = f"{self.mixer}|{self.width}|{self.depth}|{self.context}|{self.steps}|{self.batch}"
        choices += f"|{self.learning_rate}|{self.seed}"
        return hashlib.sha256(choices.encode() + b"\0" + text).hexdigest()[:16]


@final
class ByteLaw:
    """The trained network, as next-byte logits after texts and as scores of given bytes."""

    def __init__(self, network: Backbone, context: int, device: str) -> None:
        self.network, self.context, self.device = network, context, device

    @torch.inference_mode()
    def after(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Logits [N, V] after each text, of which the last `context` bytes are read."""
        rows = [list(text[-self.context :]) or [END] for text in texts]
        outputs = self._outputs(rows)
        last = torch.tensor([len(row) - 1 for row in rows], device=outputs.device)
        return outputs[torch.arange(len(rows), device=outputs.device), last]

    @torch.inference_mode()
    def score(self, rows: Sequence[ScoreRow]) -> list[TokenScores]:
        """Log-probabilities of each row's tokens from its start on."""
        found = []
        for row in rows:
            laws = torch.log_softmax(self._outputs([list(row.tokens[:-1])])[0].double(), -1)[row.start - 1 :]
            targets = torch.tensor(row.tokens[row.start :], device=laws.device)
            logprobs = laws.gather(-1, targets[:, None])[:, 0]
            found.append(TokenScores(tuple(logprobs.tolist()), bool((laws.argmax(-1) == targets).all())))
        return found

    def _outputs(self, rows: Sequence[Sequence[int]]) -> Tensor:
        # right padding lies in the future of every byte that counts, and the network is causal
        padded = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for index, row in enumerate(rows):
            padded[index, : len(row)] = torch.tensor(row)
        outputs: Tensor = self.network(padded.to(self.device))[0]
        return outputs
