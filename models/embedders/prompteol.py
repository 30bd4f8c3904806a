"""embedders/prompteol: a language model sums a sentence up in one word; the state before that word is its vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.embedders._causal import fingerprint, put_up
from harness.models.embedders._vectors import EncoderModel

# sentence -> the prompts of the paper and of its followers, "in one word" before an open quote
PROMPTS = {
    "eol": 'This sentence : "{text}" means in one word:"',
    "cot": 'After thinking step by step , this sentence : "{text}" means in one word:"',
}


@model(
    doors=("embed",),
    paper="Jiang et al. 2023, Scaling Sentence Embeddings with Large Language Models, arXiv:2307.16645",
    licence="the language model's own",
    differs="no demonstrations and no fine-tuning",
)
class PromptEOL:
    """Hidden state after `This sentence : "..." means in one word:"`, where the next word would have to sum it all up.

    `prompt=cot` is Pretended Chain of Thought's (Zhang et al. 2024, arXiv:2404.03921). As in the papers' code a full
    stop is added to a sentence without an end, double quotes become single ones and a final question mark becomes a
    full stop.

    Jiang et al. 2023, "Scaling Sentence Embeddings with Large Language Models".
    Differs from the paper: no demonstrations and no fine-tuning.
    """

    lm: str = "lms/smollm2"
    prompt: Literal["eol", "cot"] = "eol"
    layer: int = -1  # 0 is the token embedding, n the output of layer n, -1 the final norm

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The language model's digests."""
        return fingerprint(self.lm, setting)

    def load(self, setting: Setting) -> EncoderModel:
        """Put the language model up."""
        return put_up(self.lm, setting, pooling="last", layer=self.layer, wrap=self.wrapped)

    def wrapped(self, text: str) -> str:
        """The sentence in its prompt."""
        return PROMPTS[self.prompt].format(text=tidy(text))


def tidy(sentence: str) -> str:
    """A sentence that ends with a full stop and holds no double quote."""
    found = sentence.strip()
    if found and found[-1] not in ".?\"'":
        found += "."
    found = found.replace('"', "'")
    return found[:-1] + "." if found.endswith("?") else found
