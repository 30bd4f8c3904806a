"""How does a trained encoder-decoder answer? Generation through any decoder, and scores of given targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch.nn import functional

from harness.api.protocols import Decoder, Meter
from harness.api.types import Failure, Generate, Generated, Prompt, Request, Response, Score, Scored
from harness.models.decoders.greedy import Greedy
from harness.models.seq2seq._network import EncoderDecoder, padded, parameters
from harness.models.seq2seq._runtime import Runtime
from harness.models.seq2seq._units import BEGIN, END, PAD, Units

SCORED_ROWS = 64  # targets scored in one call


@final
class Fitted:
    """A trained network with its vocabulary behind the `generate` and `score` doors.

    Of a source longer than `source_tokens` the first ones are read; the response says so in `extra["cut"]` (tokens).
    """

    def __init__(
        self,
        network: EncoderDecoder,
        units: Units,
        device: str,
        source_tokens: int,
        target_tokens: int,
        facts: Mapping[str, Any],
    ) -> None:
        self.network, self.units, self.device = network, units, device
        self.source_tokens = source_tokens
        self.lm = Runtime(network, units.size, source_tokens + 1 + target_tokens, device)
        self._facts = dict(facts)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Sizes, limits and what training saw."""
        return {
            "parameters": parameters(self.network),
            "vocabulary": self.units.size,
            "source_tokens": self.source_tokens,
            "context_length": self.lm.context_length,
            "backend": f"torch-{self.device}",
            "device": self.device,
            "dtype": "float32",
            **self._facts,
        }

    def size(self, request: Request) -> int:
        """Tokens of the source and room for as many, or of source and target."""
        if isinstance(request, Generate) and isinstance(request.source, str):
            return 2 * min(self.source_tokens, len(self.units.encode(request.source)[0])) + 1
        if isinstance(request, Score):
            return len(self.units.encode(request.context)[0]) + len(self.units.encode(request.continuation)[0]) + 1
        return 1

    def generate(
        self, requests: Sequence[Generate], *, decoder: Decoder | None, seeds: Sequence[int], meter: Meter
    ) -> list[Response]:
        """Generated for each text; a Failure for a conversation or an array."""
        responses: dict[int, Response] = {}
        prompts: dict[int, Prompt] = {}
        cut: dict[int, int] = {}
        for index, request in enumerate(requests):
            if not isinstance(request.source, str):
                kind = type(request.source).__name__
                responses[index] = Failure(f"this model reads a text, but the request carries a {kind}.")
                continue
            tokens = self.units.encode(request.source)[0]
            cut[index] = max(0, len(tokens) - self.source_tokens)
            stop = _Stop(self.units, request.stop) if request.stop else None
            prompts[index] = Prompt((*tokens[: self.source_tokens], BEGIN), request.max_new_tokens, stop)
        if prompts:
            indices = list(prompts)
            found = (decoder or Greedy()).decode(
                self.lm,
                [prompts[index] for index in indices],
                seeds=[seeds[index] for index in indices],
                meter=_Renumbered(meter, indices),
            )
            for index, decoded in zip(indices, found, strict=True):
                text = self.units.decode(decoded.tokens)
                cuts = [text.index(stop) for stop in requests[index].stop if stop in text]
                extra = {**decoded.extra, **({"cut": float(cut[index])} if cut[index] else {})}
                responses[index] = Generated(
                    text[: min(cuts)] if cuts else text,
                    decoded.tokens,
                    len(prompts[index].tokens) - 1,
                    decoded.accepted,
                    decoded.calls,
                    decoded.drafted,
                    "stop" if cuts else decoded.finished,
                    extra,
                )
        return [responses[index] for index in range(len(requests))]

    @torch.inference_mode()
    def score(self, requests: Sequence[Score], *, meter: Meter) -> list[Response]:
        """Log-probability of each target token given the source (the context); the end token is not counted."""
        responses: dict[int, Response] = {}
        rows: dict[int, tuple[list[int], list[int], list[tuple[int, int]]]] = {}
        for index, request in enumerate(requests):
            source = self.units.encode(request.context)[0]
            target, spans = self.units.encode(request.continuation)
            if not target:
                responses[index] = Failure("there is nothing to score: the continuation is empty.")
            elif len(source) > self.source_tokens:
                responses[index] = Failure(
                    f"the source has {len(source)} tokens, but this model reads {self.source_tokens}."
                )
            else:
                rows[index] = source or [END], target, spans
        for start in range(0, len(rows), SCORED_ROWS):
            part = list(rows)[start : start + SCORED_ROWS]
            with meter.span("score", tokens=sum(len(rows[index][1]) for index in part)):
                found = self._scored([rows[index][:2] for index in part])
            for index, (logprobs, greedy) in zip(part, found, strict=True):
                responses[index] = Scored(tuple(logprobs), tuple(rows[index][2]), greedy)
        return [responses[index] for index in range(len(requests))]

    def _scored(self, rows: Sequence[tuple[list[int], list[int]]]) -> list[tuple[list[float], bool]]:
        source_BS, lengths_B = padded([source for source, _ in rows])
        target_BT, counts_B = padded([[BEGIN, *target[:-1]] for _, target in rows])
        logits_BTV = self.network(source_BS.to(self.device), lengths_B.to(self.device), target_BT.to(self.device))
        logits_BTV[..., [PAD, BEGIN]] = -torch.inf
        logprobs_BTV = functional.log_softmax(logits_BTV.double(), -1).cpu()
        found = []
        for row, ((_, target), count) in enumerate(zip(rows, counts_B.tolist(), strict=True)):
            wanted = torch.tensor(target)
            values = logprobs_BTV[row, :count].gather(1, wanted[:, None])[:, 0]
            best = logprobs_BTV[row, :count].argmax(-1)
            found.append((values.tolist(), bool((best == wanted).all())))
        return found


@final
class _Stop:
    """Whether the new tokens complete a stop string."""

    def __init__(self, units: Units, stops: Sequence[str]) -> None:
        self._units, self._stops = units, tuple(stops)

    def __call__(self, tokens: Sequence[int]) -> bool:
        text = self._units.decode(tokens)
        return any(stop in text for stop in self._stops)


@final
class _Renumbered:
    """A meter for some of a call's requests, under their own numbers."""

    def __init__(self, meter: Meter, indices: Sequence[int]) -> None:
        self._meter, self._indices = meter, indices
        self.span, self.count, self.elapsed = meter.span, meter.count, meter.elapsed

    def emitted(self, request: int, tokens: int) -> None:
        """Pass on."""
        self._meter.emitted(self._indices[request], tokens)
