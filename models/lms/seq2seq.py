"""lms/seq2seq: any encoder-decoder model of transformers, from a local folder or the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, final

import torch
import transformers
from transformers import AutoModelForSeq2SeqLM

from harness.api.errors import DataError
from harness.api.protocols import Decoder, Meter, Setting
from harness.api.registry import model
from harness.api.types import Failure, Generate, Request, Response, Score, Scored, Turn
from harness.models.lms._folder import text_digest, weights_digest
from harness.models.lms._hf_forward import Interface
from harness.models.lms._hf_loading import context_of, end_tokens, folder_for, load_network, parameters
from harness.models.lms._hf_probe import probe
from harness.models.lms._hf_runtime import HfRuntime
from harness.models.lms._llama import NonFiniteError
from harness.models.lms._prompt import plain
from harness.models.lms._scoring import ScoreRow, StepScorer
from harness.models.lms._text import TextModel
from harness.models.lms._tokenizer import FolderTokenizer


@model(
    version=2,
    doors=("generate", "score"),
    decodes=True,
    paper="Sutskever, Vinyals, Le 2014, Sequence to Sequence Learning with Neural Networks, arXiv:1409.3215",
    licence="the checkpoint's own",
    differs="none",
)
class Seq2seq:
    """AutoModelForSeq2SeqLM: the encoder reads the request, any decoder drives the decoder network.

    The source is encoded once a request, with the special tokens that its tokenizer adds; an instruction (T5's
    "translate English to German:") comes before it. A score encodes the context and the continuation apart, as
    lm-eval does; a text without context is scored after an encoder that read its own end token alone. The
    checkpoint's generation settings (bad words, forced end) are not applied: the decoder alone decides.

    Differs from the paper: none.
    """

    path: str
    revision: str = ""  # commit of a hub repository; empty is the newest that the cache or the hub has
    first: str = ""  # a token that every answer begins with (NLLB's and mBART's target language)
    context_length: int = 0  # tokens of either side; 0 is the model's own

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """sha256 of configuration, weights and tokenizer."""
        folder = folder_for(self.path, self.revision, "")
        return {
            "weights": weights_digest(folder),
            "tokenizer": text_digest(folder),
            "transformers": transformers.__version__,
        }

    def load(self, setting: Setting) -> EncoderDecoder:
        """Put the model up; DataError when it is missing, damaged or needs code of its own."""
        folder = folder_for(self.path, self.revision, "")
        network = load_network(folder, setting, AutoModelForSeq2SeqLM, "auto")
        tokenizer = FolderTokenizer(folder)
        begin = _start(network)
        if self.first:
            ids, _ = tokenizer.encode(self.first, special=False)
            if len(ids) != 1:
                raise DataError(f"first={self.first!r} is {len(ids)} tokens of {folder}; it must be one.")
            begin = (*begin, *ids)
        context_length = context_of(network, self.context_length)
        interface = probe(network, context_length, _encoded(network, begin[:1]))
        return EncoderDecoder(network, interface, tokenizer, context_length, begin)


@final
@dataclass(frozen=True)
class EncoderDecoder:
    """A loaded model; every request has a TokenModel of its own, to which the encoded source is given."""

    network: Any
    interface: Interface
    tokenizer: FolderTokenizer
    context_length: int
    begin: tuple[int, ...]  # tokens before every answer

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a reader of the result wants to know."""
        return {
            "family": self.network.config.model_type,
            "parameters": parameters(self.network),
            "dtype": str(self.network.dtype).removeprefix("torch."),
            "backend": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "context_length": self.context_length,
            "first_token_ids": self.tokenizer.encode("Hello")[0][:4],
            "begin": self.begin,
            "eos": end_tokens(self.network, self.tokenizer.eos),
        }

    def size(self, request: Request) -> int:
        """A guess from the number of characters of both sides."""
        if isinstance(request, Score):
            return (len(request.context) + len(request.continuation)) // 4 + 1
        assert isinstance(request, Generate)
        return len(plain(request)) // 4 + request.max_new_tokens + 1

    def generate(
        self, requests: Sequence[Generate], *, decoder: Decoder | None, seeds: Sequence[int], meter: Meter
    ) -> list[Response]:
        """Generated or Failure for each request."""
        answers: list[Response] = []
        for number, (request, seed) in enumerate(zip(requests, seeds, strict=True)):
            try:
                lm = self._after(_source(request), meter)
            except ValueError as problem:
                answers.append(Failure(str(problem)))
                continue
            asked = replace(request, source="", instruction="", shots=())
            target = TextModel(lm=lm, tokenizer=_Answers(self.tokenizer, self.begin), template="none")
            answers += target.generate([asked], decoder=decoder, seeds=[seed], meter=_Numbered(meter, number))
        return answers

    def score(self, requests: Sequence[Score], *, meter: Meter) -> list[Response]:
        """Scored or Failure for each request."""
        answers: list[Response] = []
        for request in requests:
            try:
                answers.append(self._scored(request, meter))
            except (ValueError, NonFiniteError) as problem:
                answers.append(Failure(str(problem)))
        return answers

    def _scored(self, request: Score, meter: Meter) -> Scored:
        tokens, spans = self.tokenizer.encode(request.continuation, special=False)
        if not tokens:
            raise ValueError("there is nothing to score: the continuation is empty")
        if len(self.begin) + len(tokens) - 1 > self.context_length:
            raise ValueError(f"the continuation has {len(tokens)} tokens, but the decoder holds {self.context_length}.")
        lm = self._after(request.context, meter)
        with meter.span("score", tokens=len(tokens)):
            (scores,) = StepScorer(lm).score([ScoreRow((*self.begin, *tokens), len(self.begin))])
        return Scored(scores.logprobs, tuple(spans), scores.greedy)

    def _after(self, source: str, meter: Meter) -> HfRuntime:
        """The decoder network as a model of answers to `source`; ValueError when it is too long."""
        tokens, _ = self.tokenizer.encode(source)
        eos = end_tokens(self.network, self.tokenizer.eos)
        tokens = tokens or eos[:1] or list(self.begin[:1])
        if len(tokens) > self.context_length:
            raise ValueError(f"the source has {len(tokens)} tokens, but the encoder holds {self.context_length}.")
        with meter.span("prefill", tokens=len(tokens)):
            encoded = _encoded(self.network, tokens)
        return HfRuntime(self.network, self.interface, self.context_length, eos, encoded)


@final
class _Answers:
    """The tokenizer of the target side: an empty text is what every answer begins with, and nothing else is added."""

    template = ""

    def __init__(self, tokenizer: FolderTokenizer, begin: tuple[int, ...]) -> None:
        self._tokenizer, self._begin = tokenizer, begin
        self.bos: int | None = begin[0]
        self.eos, self.vocabulary = tokenizer.eos, tokenizer.vocabulary

    def encode(
        self, text: str, *, special: bool = True, goes_on: bool = False
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids without special tokens; the beginning for an empty text."""
        if not text:
            return list(self._begin), [(0, 0)] * len(self._begin)
        return self._tokenizer.encode(text, special=False)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text without special tokens."""
        return self._tokenizer.decode(tokens)

    def chat(self, turns: Sequence[Turn]) -> str:
        """Never: the conversation is on the source side."""
        raise ValueError("the target side of an encoder-decoder model has no chat template")


@final
class _Numbered:
    """A meter for one request of several."""

    def __init__(self, meter: Meter, number: int) -> None:
        self._meter, self._number = meter, number

    def span(self, name: str, tokens: int = 0) -> AbstractContextManager[None]:
        """Pass on."""
        return self._meter.span(name, tokens)

    def emitted(self, request: int, tokens: int) -> None:
        """Pass on with the request's own number."""
        self._meter.emitted(self._number, tokens)

    def count(self, name: str, amount: int = 1) -> None:
        """Pass on."""
        self._meter.count(name, amount)

    def elapsed(self) -> float:
        """Pass on."""
        return self._meter.elapsed()


def _source(request: Generate) -> str:
    if not isinstance(request.source, (str, tuple)):
        raise ValueError("an encoder-decoder language model reads text, but the request carries an array")
    return plain(request)


@torch.inference_mode()
def _encoded(network: Any, tokens: Sequence[int]) -> dict[str, Any]:
    """What the decoder network is given of a source."""
    ids = torch.tensor([list(tokens)], dtype=torch.long, device=network.device)
    return {"encoder_outputs": network.get_encoder()(input_ids=ids)}


def _start(network: Any) -> tuple[int, ...]:
    """The token before every answer, and the one that the configuration forces after it, if any."""
    for settings in (network.generation_config, network.config):
        for name in ("decoder_start_token_id", "bos_token_id"):
            token = getattr(settings, name, None)
            if isinstance(token, int):
                forced = getattr(settings, "forced_bos_token_id", None)
                return (token, forced) if isinstance(forced, int) else (token,)
    raise DataError("the checkpoint names neither a decoder_start_token_id nor a bos_token_id.")
