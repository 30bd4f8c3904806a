"""Damaged answers of a server: each becomes a response or a Failure of one line; no exception, no hang, no key."""

from __future__ import annotations

import json
import math
import re
import socketserver
import threading
from collections.abc import Iterator
from random import Random

import pytest
from damage import damaged_bytes, damaged_json

from harness import timing
from harness.api.protocols import SilentMeter
from harness.api.types import Failure, Generate, Generated, Response, Score, Scored
from harness.models.lms._alignment import align
from harness.models.lms.http import Http, ServedModel

KEY = "sk-fuzz-0123456789abcdef"
METER = SilentMeter()
SECONDS = 10.0  # for one answer; more is a hang
TEXT = " é日 down"  # what is scored; half of its letters take more than a byte


def answer(asked: dict[str, object]) -> dict[str, object]:
    """A whole answer of each kind that servers give."""
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    prompt = str(asked.get("prompt", ""))
    pieces = [*re.findall(r"\s?\S+|\s", prompt), "\ufffd"]
    choice: dict[str, object] = {"index": 0, "text": "some words", "finish_reason": "stop", "stop_reason": None}
    choice["message"] = {"role": "assistant", "content": "some words", "refusal": None}
    choice["logprobs"] = {
        "tokens": pieces,
        "token_logprobs": [None, *(-0.5 for _ in pieces[1:])],
        "top_logprobs": [None, *({piece: -0.5} for piece in pieces[1:])],
        "text_offset": [0 for _ in pieces],
    }
    if "prompt_logprobs" in asked:
        entries = [{"7": {"logprob": -0.5, "rank": 1, "decoded_token": piece}} for piece in pieces[1:-1]]
        choice["prompt_logprobs"] = [None, *entries]
    return {"id": "x", "object": "text_completion", "choices": [choice], "usage": usage}


class Damaging(socketserver.StreamRequestHandler):
    """Answers with what the seed in the question makes of a whole answer: its values, its body, or the whole reply."""

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        if head.startswith(b"GET"):
            self.wfile.write(reply(b'{"data": []}'))
            return
        length = int(re.search(rb"Content-Length: (\d+)", head).group(1))  # type: ignore[union-attr]
        asked = json.loads(self.rfile.read(length))
        seed = int(re.search(r"seed(\d+) ", json.dumps(asked)).group(1))  # type: ignore[union-attr]
        rng, whole = Random(seed), answer(asked)
        if seed % 3 == 0:
            self.wfile.write(reply(json.dumps(damaged_json(whole, rng)).encode()))
        elif seed % 3 == 1:
            self.wfile.write(reply(damaged_bytes(json.dumps({**whole, "said": KEY}).encode(), rng)))
        else:
            self.wfile.write(damaged_bytes(reply(json.dumps(whole).encode()), rng))


def reply(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class Quiet(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """The client went away: it had read enough."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("FUZZ_KEY", KEY)
    with Quiet(("127.0.0.1", 0), Damaging) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def models(url: str) -> list[ServedModel]:
    shared = {"url": url, "model": "m", "timeout": 3.0, "retries": 0, "key": "FUZZ_KEY"}
    kinds = ({"api": "completions"}, {"api": "chat"}, {"scores": "prompt_logprobs"})
    return [Http(**shared, **kind).connect() for kind in kinds]  # type: ignore[arg-type]


def check(response: Response) -> None:
    """An answer that can be scored, or one line."""
    if isinstance(response, Failure):
        assert KEY not in response.error
        assert response.error.isprintable()
        assert 0 < len(response.error) < 600
    elif isinstance(response, Scored):
        assert response.logprobs
        assert all(math.isfinite(value) for value in response.logprobs)
        assert all(0 <= start <= end <= len(TEXT) for start, end in response.spans)
        assert len(response.spans) == len(response.logprobs)
    else:
        assert isinstance(response, Generated)
        assert response.finished in ("eos", "stop", "length")


@pytest.mark.parametrize("rounds", [range(50), pytest.param(range(50, 2050), marks=pytest.mark.slow)], ids=len)
def test_a_damaged_answer_is_a_response_or_a_failure_of_one_line(url: str, rounds: range) -> None:
    completions, chat, listed = models(url)
    generate = [Generate(f"seed{seed} tell", 8, stop=("\n",)) for seed in rounds]
    score = [Score(f"seed{seed} the cat", TEXT) for seed in rounds]
    failed = 0
    for start in range(0, len(rounds), 10):
        watch = timing.clock()
        part = slice(start, start + 10)
        responses = [
            *completions.generate(generate[part], decoder=None, seeds=[0] * 10, meter=METER),
            *chat.generate(generate[part], decoder=None, seeds=[0] * 10, meter=METER),
            *completions.score(score[part], meter=METER),
            *listed.score(score[part], meter=METER),
        ]
        for response in responses:
            check(response)
            failed += isinstance(response, Failure)
        assert timing.clock() - watch < 4 * SECONDS
    # the damage is felt
    assert len(rounds) < failed < 4 * len(rounds)


@pytest.mark.parametrize("rounds", [range(50), pytest.param(range(50, 2050), marks=pytest.mark.slow)], ids=len)
def test_pieces_of_any_kind_are_laid_out_within_the_text_or_not_at_all(rounds: range) -> None:
    letters = ["a", " ", "é", "日", "🙂", "\ufffd", "", "<0xE6>", "bytes:\\xf0\\x9f", "bytes:", "\ud800", "\x00"]
    for seed in rounds:
        rng = Random(seed)
        text = "".join(rng.choice(letters[:6]) for _ in range(rng.randrange(400)))
        pieces = [rng.choice((*letters, text[place : place + 2], None)) for place in range(rng.randrange(400))]
        watch = timing.clock()
        spans = align(text, pieces, rng.randrange(400))
        assert timing.clock() - watch < SECONDS
        assert spans is None or all(0 <= start <= end <= len(text) for start, end in spans)


@pytest.mark.parametrize(
    "pieces",
    [
        [""] * 20_000,
        ["\ufffd"] * 20_000,
        ["日", *["\ufffd"] * 19_999],
        ["\ufffd" * 20_000],
        ["a"] * 20_000,
        [None] * 99,
    ],
)
@pytest.mark.parametrize("text", ["日" * 10_000, "é" * 10_000, "a" * 20_000])
def test_long_texts_in_odd_pieces_take_no_time(text: str, pieces: list[str | None]) -> None:
    watch = timing.clock()
    align(text, pieces, len(text) // 2)
    assert timing.clock() - watch < SECONDS
