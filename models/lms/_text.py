"""How do text requests become token work? The adapter that every language model shares.

Prompts are rendered and tokenised here, beginning-of-text tokens are handled here once, context overflow is refused
here, and the `generate` and `score` doors are answered by a decoder on a TokenModel and by a Scorer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, final

from harness.api.protocols import Decoder, Meter, TokenModel
from harness.api.types import Decoded, Failure, Generate, Generated, Prompt, Request, Response, Score, Scored
from harness.models.decoders.greedy import Greedy
from harness.models.lms._llama import NonFiniteError
from harness.models.lms._prompt import conversation, plain
from harness.models.lms._scoring import Scorer, ScoreRow, StepScorer
from harness.models.lms._tokenizer import TextTokenizer

Template = Literal["auto", "chat", "none"]

# requests of one planned batch; tokens are shared inside it, memory is bounded by the scorer's own packs
PLANNED_REQUESTS = 256


@final
@dataclass(frozen=True, kw_only=True)
class TextModel:
    """A language model behind the `generate` and `score` doors.

    `debug(rows)` runs tokens through the network with every layer checked, and returns what it found.
    """

    lm: TokenModel
    tokenizer: TextTokenizer
    facts: Mapping[str, Any] = field(default_factory=dict)
    scorer: Scorer | None = None
    template: Template = "auto"
    debug: Callable[[Sequence[int]], str] | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a reader of the result wants to know."""
        first, _ = self._encode("Hello")
        return {
            **self.facts,
            "context_length": self.lm.context_length,
            "vocabulary": self.lm.vocabulary,
            "chat_template": self.tokenizer.template,
            "template": self.template,
            "first_token_ids": first[:4],
            "bos": self.tokenizer.bos,
            "eos": sorted(self.lm.eos),
        }

    def size(self, request: Request) -> int:
        """Tokens of the prompt, or of context and continuation; characters where the text cannot be read."""
        try:
            if isinstance(request, Score):
                return len(self._encode(request.context + request.continuation)[0])
            if isinstance(request, Generate):
                return len(self.prompt(request)) + request.max_new_tokens
        except ValueError:
            # the door answers such a request with a Failure, which costs nothing
            return 1
        return 1

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """Batches in which requests that begin alike sit together: score by text, generate by length."""
        scored = [index for index, request in enumerate(requests) if isinstance(request, Score)]
        others = [index for index, request in enumerate(requests) if not isinstance(request, Score)]
        # equal beginnings sort together, so that a preamble is encoded once a batch
        scored.sort(key=lambda index: _text(requests[index]))
        others.sort(key=lambda index: -len(_text(requests[index])))
        return [
            order[start : start + PLANNED_REQUESTS]
            for order in (scored, others)
            for start in range(0, len(order), PLANNED_REQUESTS)
        ]

    def score(self, requests: Sequence[Score], *, meter: Meter) -> list[Response]:
        """Scored or Failure for each request."""
        windows: list[ScoreRow] = []
        spans: dict[int, tuple[range, list[tuple[int, int]]]] = {}
        responses: list[Response | None] = [None] * len(requests)
        for index, request in enumerate(requests):
            try:
                rows, covered = self._windows(request)
            except ValueError as problem:
                responses[index] = Failure(str(problem))
                continue
            spans[index] = (range(len(windows), len(windows) + len(rows)), covered)
            windows += rows
        scorer = self.scorer or StepScorer(self.lm)
        with meter.span("score", tokens=sum(len(row.tokens) - row.start for row in windows)):
            scores = scorer.score(windows)
        for index, (places, covered) in spans.items():
            logprobs = tuple(value for place in places for value in scores[place].logprobs)
            if any(value != value or value in (float("inf"), float("-inf")) for value in logprobs):
                responses[index] = Failure(self._diagnose([windows[place].tokens for place in places]))
            else:
                greedy = all(scores[place].greedy for place in places)
                responses[index] = Scored(logprobs, tuple(covered), greedy)
        return [response if response is not None else Failure("no answer") for response in responses]

    def generate(
        self, requests: Sequence[Generate], *, decoder: Decoder | None, seeds: Sequence[int], meter: Meter
    ) -> list[Response]:
        """Generated or Failure for each request."""
        responses: list[Response | None] = [None] * len(requests)
        prompts: dict[int, Prompt] = {}
        for index, request in enumerate(requests):
            try:
                prompts[index] = self._ready(request)
            except ValueError as problem:
                responses[index] = Failure(str(problem))
        for index, decoded in self._decode(prompts, decoder or Greedy(), seeds, meter).items():
            responses[index] = (
                decoded if isinstance(decoded, Failure) else self._said(requests[index], prompts[index], decoded)
            )
        return [response if response is not None else Failure("no answer") for response in responses]

    def prompt(self, request: Generate) -> list[int]:
        """Token ids of a request's prompt; ValueError when it cannot be rendered or read."""
        text, templated = self._render(request)
        # a rendered template writes its own beginning-of-text token
        tokens, _ = self._encode(text, special=not templated)
        bos = self.tokenizer.bos
        if bos is not None and len(tokens) > 1 and tokens[0] == tokens[1] == bos:
            warnings.warn("the prompt began with the beginning-of-text token twice; one was removed.", stacklevel=2)
            tokens = tokens[1:]
        if templated and tokens and self._adds_bos() and tokens[0] != bos:
            warnings.warn("the chat template wrote no beginning-of-text token; one was added.", stacklevel=2)
            tokens = [self._prefix(), *tokens]
        return tokens or [self._prefix()]

    def _render(self, request: Generate) -> tuple[str, bool]:
        if not isinstance(request.source, str | tuple):
            raise ValueError("a language model reads text, but the request carries an array")
        told = isinstance(request.source, tuple) or bool(request.instruction or request.shots)
        if self.template == "chat" or (self.template == "auto" and told and self.tokenizer.template):
            return self.tokenizer.chat(conversation(request)), True
        return plain(request), False

    def _ready(self, request: Generate) -> Prompt:
        tokens = self.prompt(request)
        room = self.lm.context_length - len(tokens)
        if request.max_new_tokens > room:
            raise ValueError(
                f"the prompt has {len(tokens)} tokens and {request.max_new_tokens} new ones were asked for, but the "
                f"context holds {self.lm.context_length}; shorten the prompt or ask for fewer"
            )
        finished = _StopWatch(self.tokenizer, request.stop) if request.stop else None
        return Prompt(tuple(tokens), request.max_new_tokens, finished)

    def _decode(
        self, prompts: Mapping[int, Prompt], decoder: Decoder, seeds: Sequence[int], meter: Meter
    ) -> dict[int, Decoded | Failure]:
        if not prompts:
            return {}
        indices = list(prompts)
        try:
            decoded = decoder.decode(
                self.lm,
                [prompts[index] for index in indices],
                seeds=[seeds[index] for index in indices],
                meter=_Renumbered(meter, indices),
            )
        except NonFiniteError:
            if len(indices) == 1:
                return {indices[0]: Failure(self._diagnose([prompts[indices[0]].tokens]))}
            found: dict[int, Decoded | Failure] = {}
            for index in indices:
                found |= self._decode({index: prompts[index]}, decoder, seeds, meter)
            return found
        return dict(zip(indices, decoded, strict=True))

    def _said(self, request: Generate, prompt: Prompt, decoded: Decoded) -> Generated:
        text = self.tokenizer.decode(decoded.tokens)
        cuts = [text.index(stop) for stop in request.stop if stop in text]
        return Generated(
            text[: min(cuts)] if cuts else text,
            decoded.tokens,
            len(prompt.tokens),
            decoded.accepted,
            decoded.calls,
            decoded.drafted,
            "stop" if cuts else decoded.finished,
            decoded.extra,
        )

    def _windows(self, request: Score) -> tuple[list[ScoreRow], list[tuple[int, int]]]:
        limit = self.lm.context_length
        if not request.context:
            tokens, spans = self._encode(request.continuation)
            if not tokens:
                raise ValueError("there is nothing to score: the text is empty")
            return rolling(tokens, self._prefix(), limit), spans
        context, continuation, spans = self.pair(request.context, request.continuation)
        if not continuation:
            raise ValueError("there is nothing to score: the continuation has no token of its own")
        if len(context) + len(continuation) - 1 > limit:
            raise ValueError(
                f"context and continuation have {len(context) + len(continuation)} tokens, but the context holds "
                f"{limit}; shorten the context"
            )
        return [ScoreRow((*context, *continuation), len(context))], spans

    def pair(self, context: str, continuation: str) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        """Context ids, continuation ids and the continuation's character spans, tokenised jointly where that can be.

        As lm-eval does: spaces that end the context move to the continuation, the whole is encoded, and the context's
        own encoding says where to cut. Where a token of the whole lies across the join (`wor` + `ld`), that cut would
        leave out a part of the continuation or all of it, so the two are encoded apart: the context as it is in a
        prompt, and the continuation as if it stood in the middle of a text. lm-eval scores what its cut leaves.

        Spans that begin before the continuation are cut at its first character.
        """
        stripped = context.rstrip()
        whole, offsets = self._encode(context + continuation)
        # nothing but white space: all of it belongs to the scored text, after the prefix token; a BOS token that
        # the tokenizer adds by itself is that prefix, and is not scored
        alone, _ = self._encode(stripped)
        before = alone if stripped else [self._prefix()]
        rest, spans = whole[len(alone) :], offsets[len(alone) :]
        if stripped and whole[: len(alone)] != alone:
            rest, spans = self._inside(context[len(stripped) :] + continuation)
            spans = [(first + len(stripped), last + len(stripped)) for first, last in spans]
        return before, rest, _shifted(spans, len(context))

    def _inside(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The tokens of a text that stands in the middle of another, without the space that some put before a first."""
        ids, spans = self._encode("\n" + text, special=False)
        line, _ = self._encode("\n", special=False)
        if ids[: len(line)] == line:
            return ids[len(line) :], _shifted(spans[len(line) :], 1)
        return self._encode(text, special=False)

    def _encode(self, text: str, *, special: bool = True) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and spans of a text that goes on; ValueError when the network has no such token."""
        ids, spans = self.tokenizer.encode(text, special=special, goes_on=True)
        if ids and max(ids) >= self.lm.vocabulary:
            raise ValueError(
                f"the tokenizer gives token {max(ids)}, but the network knows {self.lm.vocabulary}; "
                "tokenizer and weights do not belong together"
            )
        return ids, spans

    def _prefix(self) -> int:
        """The token before any text, as lm-eval chooses it: BOS, else EOS."""
        for token in (self.tokenizer.bos, self.tokenizer.eos, *sorted(self.lm.eos)):
            if token is not None:
                return token
        raise ValueError("the tokenizer has neither a BOS nor an EOS token to begin an empty prompt with")

    def _adds_bos(self) -> bool:
        bare, _ = self._encode("a")
        return self.tokenizer.bos is not None and bool(bare) and bare[0] == self.tokenizer.bos

    def _diagnose(self, rows: Sequence[Sequence[int]]) -> str:
        if self.debug is not None:
            for row in rows:
                found = self.debug(row)
                if found:
                    return f"the network's output is not finite: {found}"
        return "the network's output is not finite"


def rolling(tokens: Sequence[int], prefix: int, limit: int) -> list[ScoreRow]:
    """Windows in which each token is scored once, as lm-eval's `loglikelihood_rolling` lays them (context of one).

    The first window follows the prefix token; every later one is `limit` inputs long, so that the last window, which
    has fewer tokens left to score, sees as much left context as fits.
    """
    first = min(limit, len(tokens))
    rows = [ScoreRow((prefix, *tokens[:first]), 1)]
    done = first
    while done < len(tokens):
        count = min(len(tokens) - done, limit)
        end = done + count
        rows.append(ScoreRow(tuple(tokens[end - limit - 1 : end]), limit + 1 - count))
        done = end
    return rows


def _shifted(offsets: Sequence[tuple[int, int]], start: int) -> list[tuple[int, int]]:
    return [(max(0, first - start), max(0, last - start)) for first, last in offsets]


def _text(request: Request) -> str:
    if isinstance(request, Score):
        return request.context + request.continuation
    if isinstance(request, Generate):
        source = request.source if isinstance(request.source, str) else ""
        if isinstance(request.source, tuple):
            source = "".join(turn.text for turn in request.source)
        return request.instruction + "".join(map("".join, request.shots)) + source
    return ""


@final
class _StopWatch:
    """Is a stop string complete? Decodes only a tail that is long enough to hold one, whatever the token borders."""

    def __init__(self, tokenizer: TextTokenizer, stops: tuple[str, ...]) -> None:
        self._tokenizer, self._stops = tokenizer, stops
        # a token covers at least one byte of its own, and a cut character may spoil up to four more
        self._tail = max(len(stop.encode()) for stop in stops) + 4

    def __call__(self, tokens: Sequence[int]) -> bool:
        text = self._tokenizer.decode(tokens[-self._tail :])
        return any(stop in text for stop in self._stops)


@final
class _Renumbered:
    """A meter that gives a decoder's prompts the numbers of the door call's requests."""

    def __init__(self, meter: Meter, indices: Sequence[int]) -> None:
        self._meter, self._indices = meter, indices

    def span(self, name: str, tokens: int = 0) -> AbstractContextManager[None]:
        return self._meter.span(name, tokens)

    def emitted(self, request: int, tokens: int) -> None:
        self._meter.emitted(self._indices[request], tokens)

    def count(self, name: str, amount: int = 1) -> None:
        self._meter.count(name, amount)

    def elapsed(self) -> float:
        return self._meter.elapsed()
