"""Language models behind an OpenAI-compatible endpoint: vLLM, llama.cpp server, SGLang."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, final

from harness.api import secrets
from harness.api.errors import DataError, UsageError
from harness.api.protocols import Decoder, Meter, Setting
from harness.api.registry import model
from harness.api.types import Failure, Generate, Generated, Request, Response, Score, Scored
from harness.models.lms._alignment import align
from harness.models.lms._endpoint import Endpoint, Patience, address
from harness.models.lms._prompt import conversation, plain

DEFAULT_KEY = "HARNESS_API_KEY"
# how servers name an answer that came to its end, or to the limit of its tokens; any other reason (content_filter,
# abort, tool_calls, error) means that there is no answer to score
ENDED = ("stop", "eos", "eos_token", "end_turn", "stop_sequence")
CUT = ("length", "max_tokens")
LARGEST = sys.float_info.max  # an integer beyond it is no float
ROUNDED = 0.01  # the most by which rounding lifts a log-probability above 0
CHARACTERS_A_TOKEN = 4  # a rough size for batches; the server counts for itself


@model(
    version=2,
    doors=("generate", "score"),
    decodes=False,
    paper="none",
    licence="that of the served model",
    secrets=("key",),
    differs="Tokens are the server's: their ids are not known unless it returns them, and a score's tokens are split "
    "where the context's characters end, not where its tokens do.",
)
class Http:
    """Any model that a server offers under `url` with OpenAI's completions or chat completions.

    Scores need a server that returns the prompt's log-probabilities: `scores=echo` asks for `echo` with `logprobs`
    (llama-cpp-python, vLLM, SGLang), `scores=prompt_logprobs` for vLLM's field of that name.
    """

    url: str  # up to the version: http://127.0.0.1:8000/v1
    model: str  # the name under which the server offers it
    api: Literal["completions", "chat"] = "completions"  # how text is generated
    scores: Literal["echo", "prompt_logprobs"] = "echo"
    prefix: str = ""  # put before a text that is scored without context, where the server adds no BOS by itself
    temperature: float = 0.0
    concurrency: int = 8  # requests open at once
    timeout: float = 120.0  # seconds for one try
    retries: int = 5  # tries after the first
    key: str = DEFAULT_KEY  # name of the environment variable that holds the key, never the key

    def __post_init__(self) -> None:
        # the value is not repeated: it may be a key
        if not secrets.is_variable(self.key):
            raise UsageError("lms/http: key= takes the NAME of an environment variable, in capitals, not the key.")
        address(self.url)
        if self.concurrency < 1 or self.timeout <= 0 or self.retries < 0 or self.temperature < 0:
            raise UsageError(
                "lms/http: concurrency must be at least 1, timeout above 0, retries and temperature not negative."
            )

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The address and the name; what stands behind them, only the server knows."""
        return {"weights": f"served:{self.model}@{self.url}", "tokenizer": "served"}

    def load(self, setting: Setting) -> ServedModel:
        """Ask the server for its models; DataError when it does not answer or does not have this one."""
        return self.connect()

    def connect(self, pause: Callable[[float], object] | None = None) -> ServedModel:
        """The same with a way of waiting between tries that the caller chooses."""
        secret = os.environ.get(self.key, "")
        if not secret and self.key != DEFAULT_KEY:
            raise DataError("lms/http: the environment variable that key= names is not set.")
        patience = Patience(self.concurrency, self.timeout, self.retries)
        endpoint = Endpoint(self.url, secret, patience, pause)
        answer = endpoint.get("/models")
        if isinstance(answer, Failure):
            # a server without this list may still answer questions
            if "HTTP 404" not in answer.error:
                raise DataError(f"lms/http: {answer.error}")
            return ServedModel(self, endpoint, 0)
        listed = answer.get("data")
        offered = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        chosen = [item for item in offered if item.get("id") == self.model]
        if offered and not chosen:
            known = ", ".join(str(item.get("id")) for item in offered[:5])
            raise DataError(f"lms/http: {self.url} has no model {self.model!r}; it has {known}.")
        context = chosen[0].get("max_model_len") if chosen else None
        return ServedModel(self, endpoint, context if isinstance(context, int) else 0)


@final
class ServedModel:
    """A model at the other end of a connection."""

    def __init__(self, card: Http, endpoint: Endpoint, context_length: int) -> None:
        self._card, self._endpoint, self._context_length = card, endpoint, context_length

    @property
    def identity(self) -> Mapping[str, Any]:
        """Where the answers come from."""
        return {
            "backend": "http",
            "url": self._card.url,
            "model": self._card.model,
            "api": self._card.api,
            "context_length": self._context_length or "unknown",
        }

    def size(self, request: Request) -> int:
        """A guess from the number of characters."""
        if isinstance(request, Generate):
            return _characters(request) // CHARACTERS_A_TOKEN + request.max_new_tokens + 1
        assert isinstance(request, Score)
        return (len(request.context) + len(request.continuation)) // CHARACTERS_A_TOKEN + 1

    def generate(
        self, requests: Sequence[Generate], *, decoder: Decoder | None, seeds: Sequence[int], meter: Meter
    ) -> list[Response]:
        """Generated or Failure for each request; the server decodes."""
        if decoder is not None:
            raise UsageError("lms/http decodes on the server; run it without --decoder.")
        chat = self._card.api == "chat"
        payloads = {
            index: self._question(request, seed)
            for index, (request, seed) in enumerate(zip(requests, seeds, strict=True))
            if isinstance(request.source, (str, tuple))
        }
        answers: list[Response] = [Failure("lms/http takes text, not arrays.")] * len(requests)
        with meter.span("decode"):
            for index, answer in self._answers("/chat/completions" if chat else "/completions", payloads):
                answers[index] = _generated(answer, requests[index].stop, chat)
                meter.emitted(index, _length(answers[index]))
        return answers

    def score(self, requests: Sequence[Score], *, meter: Meter) -> list[Response]:
        """Scored or Failure for each request."""
        payloads = {index: self._prompt(request) for index, request in enumerate(requests) if request.continuation}
        answers: list[Response] = [Failure("there is nothing to score: the continuation is empty.")] * len(requests)
        with meter.span("score"):
            for index, answer in self._answers("/completions", payloads):
                context, start = _context(requests[index], self._card.prefix)
                answers[index] = _scored(answer, context, start, requests[index].continuation)
        return answers

    def _answers(
        self, path: str, payloads: Mapping[int, Mapping[str, Any]]
    ) -> Iterator[tuple[int, Mapping[str, Any] | Failure]]:
        places = list(payloads)
        for index, answer in self._endpoint.post_all(path, list(payloads.values())):
            yield places[index], answer

    def _question(self, request: Generate, seed: int) -> dict[str, Any]:
        sampled = {"seed": seed % 2**31} if self._card.temperature > 0 else {}
        asked: dict[str, Any] = {"prompt": plain(request)}
        if self._card.api == "chat":
            asked = {"messages": [{"role": turn.role, "content": turn.text} for turn in conversation(request)]}
        return {
            "model": self._card.model,
            **asked,
            "max_tokens": request.max_new_tokens,
            "temperature": self._card.temperature,
            **({"stop": list(request.stop)} if request.stop else {}),
            **sampled,
        }

    def _prompt(self, request: Score) -> dict[str, Any]:
        context, _ = _context(request, self._card.prefix)
        # one new token, since many servers refuse none; it is not scored
        prompt = context + request.continuation
        asked = {"model": self._card.model, "prompt": prompt, "max_tokens": 1, "temperature": 0}
        if self._card.scores == "echo":
            return {**asked, "echo": True, "logprobs": 1}
        return {**asked, "prompt_logprobs": 0}


def _characters(request: Generate) -> int:
    source = request.source
    texts = [turn.text for turn in source] if isinstance(source, tuple) else [source if isinstance(source, str) else ""]
    return sum(map(len, (*texts, request.instruction, *("".join(shot) for shot in request.shots))))


def _generated(answer: Mapping[str, Any] | Failure, stops: Sequence[str], chat: bool) -> Response:
    """The first choice's text, cut at the first stop string should the server have kept it."""
    if isinstance(answer, Failure):
        return answer
    choice = _choice(answer)
    if isinstance(choice, Failure):
        return choice
    reason = choice.get("finish_reason")
    if reason is not None and reason not in (*ENDED, *CUT):
        return Failure(f"the server gave no whole answer: its finish_reason is {secrets.masked(str(reason))[:40]!r}.")
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    if chat and isinstance(message.get("refusal"), str) and message["refusal"]:
        return Failure("the server refused to answer.")
    text = message.get("content") if chat else choice.get("text")
    if not isinstance(text, str):
        spent = " before max_new_tokens were spent, perhaps on reasoning" if reason in CUT else ""
        return Failure(f"the server's answer holds no text{spent}.")
    cuts = [text.index(stop) for stop in stops if stop in text]
    # vLLM names the stop string; an end of text has none
    stopped = bool(cuts) or isinstance(choice.get("stop_reason"), str)
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    ids = choice.get("token_ids")
    tokens = tuple(ids) if isinstance(ids, list) and all(isinstance(item, int) for item in ids) else ()
    return Generated(
        text[: min(cuts)] if cuts else text,
        tokens=tokens,
        prompt_tokens=_whole(usage.get("prompt_tokens")),
        finished="stop" if stopped else "length" if reason in CUT else "eos",
        extra={"completion_tokens": float(_whole(usage.get("completion_tokens")) or len(tokens))},
    )


def _context(request: Score, prefix: str) -> tuple[str, int]:
    """The text before the continuation, and where scoring begins in it: white space at its end is scored as well."""
    if request.context.strip():
        return request.context, len(request.context.rstrip())
    return prefix + request.context, len(prefix)


def _scored(answer: Mapping[str, Any] | Failure, context: str, start: int, continuation: str) -> Response:
    """The continuation's part of the prompt's log-probabilities; a Failure when a token of it has none."""
    if isinstance(answer, Failure):
        return answer
    choice = _choice(answer)
    if isinstance(choice, Failure):
        return choice
    read = _prompt_logprobs(choice) if choice.get("prompt_logprobs") else _echoed(choice)
    if isinstance(read, Failure):
        return read
    pieces, logprobs, first = read
    spans = _laid_out(answer, choice, context + continuation, pieces, start)
    if isinstance(spans, Failure):
        return spans
    chosen = [place for place, (_, end) in enumerate(spans) if end > start]
    if not chosen:
        return Failure("the server's tokens leave none for the continuation.")
    values = [logprobs[place] for place in chosen]
    if values[0] is None and chosen[0] == 0:
        return Failure("the server gives the text's first token no log-probability; set prefix= to its BOS token.")
    if not all(map(_is_logprob, values)):
        return Failure("a token of the continuation has no finite log-probability.")
    shift = len(context)
    covered = tuple((max(0, spans[place][0] - shift), max(0, spans[place][1] - shift)) for place in chosen)
    return Scored(tuple(float(value) for value in values if value is not None), covered, all(first[i] for i in chosen))


def _laid_out(
    answer: Mapping[str, Any], choice: Mapping[str, Any], text: str, pieces: Sequence[str | None], border: int
) -> list[tuple[int, int]] | Failure:
    """Where the prompt's tokens lie in its text; the one generated after it, where the server lists it, is left out."""
    whole = align(text, pieces, border)
    shorter = align(text, pieces[:-1], border)
    unclear = Failure(
        "the server's tokens do not spell the text that was to be scored, or leave open which of them are the "
        "continuation's; some may be missing."
    )
    if choice.get("prompt_logprobs") or shorter is None:
        return whole or unclear
    # one token was asked for; its spelling may be empty or a part of a character, so that text alone cannot tell
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    made = _whole(usage.get("completion_tokens"))
    if whole is not None and made < 2 and _whole(usage.get("prompt_tokens")) + made == len(pieces):
        return shorter if made else whole
    echoed = choice.get("text")
    longer = isinstance(echoed, str) and echoed.startswith(text) and echoed != text
    covers_nothing = pieces[-1] == "" and text[-1:].isascii()
    return shorter if whole is None or longer or covers_nothing else unclear


# spellings (None where unknown), log-probabilities, and whether each token was the likeliest
_Pieces = tuple[list[str | None], list[float | None], list[bool]]


def _echoed(choice: Mapping[str, Any]) -> _Pieces | Failure:
    """Tokens, log-probabilities and whether each token was the likeliest, from `echo` with `logprobs`."""
    given = choice.get("logprobs")
    if not isinstance(given, dict):
        return Failure(
            "the server returned no log-probabilities of the prompt; vLLM, SGLang and llama-cpp-python do, "
            "llama-server and Ollama do not."
        )
    pieces, logprobs = given.get("tokens"), given.get("token_logprobs")
    tops = given.get("top_logprobs")
    if not isinstance(pieces, list) or not isinstance(logprobs, list) or not all(isinstance(p, str) for p in pieces):
        return Failure("the server's log-probabilities hold no list of tokens.")
    if len(pieces) != len(logprobs):
        return Failure(f"the server returned {len(logprobs)} log-probabilities for {len(pieces)} tokens.")
    if not isinstance(tops, list) or len(tops) != len(pieces):
        tops = [None] * len(pieces)
    first = [_is_first(piece, value, top) for piece, value, top in zip(pieces, logprobs, tops, strict=True)]
    return pieces, logprobs, first


def _is_first(piece: str, value: Any, top: Any) -> bool:
    if not isinstance(top, dict) or not top or not isinstance(value, (int, float)):
        return False
    # the likeliest token may be spelled like another, so that only its value counts
    return value >= max((item for item in top.values() if isinstance(item, (int, float))), default=value)


def _prompt_logprobs(choice: Mapping[str, Any]) -> _Pieces | Failure:
    """The same from vLLM's `prompt_logprobs`: a null for the first token, then {id: {logprob, rank, decoded_token}}."""
    given = choice["prompt_logprobs"]
    if not isinstance(given, list):
        return Failure("the server's prompt_logprobs is no list.")
    pieces: list[str | None] = []
    logprobs: list[float | None] = []
    first: list[bool] = []
    for entry in given:
        found = next(iter(entry.values()), None) if isinstance(entry, dict) and entry else None
        if found is not None and not (isinstance(found, dict) and isinstance(found.get("decoded_token"), str)):
            return Failure("an entry of the server's prompt_logprobs holds no decoded_token.")
        pieces.append(None if found is None else found["decoded_token"])
        logprobs.append(None if found is None else found.get("logprob"))
        first.append(found is not None and found.get("rank") == 1)
    return pieces, logprobs, first


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any] | Failure:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return Failure("the server's answer holds no choice.")
    return choices[0]


def _is_logprob(value: Any) -> bool:
    """Whether a value can be the logarithm of a probability; half precision rounds some a little above 0."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST <= value < ROUNDED


def _length(response: Response) -> int:
    return int(response.extra["completion_tokens"]) if isinstance(response, Generated) else 0


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
