"""A small OpenAI-compatible server in a process of its own; the model's name chooses how it behaves.

Its tokens are words with the space before them; a token's log-probability is minus a tenth of its length. It writes
its port to standard output and counts the requests that it got under `/count`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = os.environ.get("SERVER_KEY", "")
lock = threading.Lock()
seen: dict[str, int] = {}
open_now = 0
most_open = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    counted = False  # whether the request counts as open

    def log_message(self, *parts: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/count":
            self.send({**seen, "most_open": most_open})
        elif self.path == "/bare/models":
            self.send({"error": "no such page"}, 404)
        elif not self.allowed():
            self.send({"error": f"wrong key {self.headers.get('Authorization')}"}, 401)
        else:
            names = ["normal", "busy", "dated", "slow", "drip", "cut", "dies", "nonsense", "list", "empty", "short"]
            names += ["gap", "infinite", "truncated", "refuses", "moved", "broken", "patience", "vllm", "bos", "kept"]
            names += ["fraction", "milliseconds", "filter", "abort", "torn", "blank", "halves", "uncounted", "silent"]
            self.send({"data": [{"id": name, "max_model_len": 2048} for name in names]})

    def do_POST(self) -> None:
        global open_now, most_open
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/bare/"):
            return self.send({"error": "no such page"}, 404)
        name = asked["model"]
        with lock:
            seen[name] = seen.get(name, 0) + 1
            turn = seen[name]
            open_now += 1
            most_open = max(most_open, open_now)
        self.counted = True
        try:
            # long enough for others to come in
            threading.Event().wait(0.005)
            getattr(self, f"as_{name}", self.as_normal)(asked, turn)
        finally:
            self.no_longer_open()

    def no_longer_open(self) -> None:
        """Called before the answer leaves: its reader may ask again before this thread goes on."""
        global open_now
        with lock:
            open_now -= self.counted
            self.counted = False

    def allowed(self) -> bool:
        return not KEY or self.headers.get("Authorization") == f"Bearer {KEY}"

    def send(self, answer: Any, status: int = 200, **headers: str) -> None:
        self.no_longer_open()
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for header, value in headers.items():
            self.send_header(header.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def as_normal(self, asked: dict[str, Any], turn: int) -> None:
        self.send(answer(asked, self.path))

    def as_busy(self, asked: dict[str, Any], turn: int) -> None:
        if turn <= 2:
            self.send({"error": "come back later"}, 429, Retry_After="7")
        else:
            self.as_normal(asked, turn)

    def as_dated(self, asked: dict[str, Any], turn: int) -> None:
        if turn > 1:
            return self.as_normal(asked, turn)
        self.send_response_only(503)
        self.send_header("Date", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.send_header("Retry-After", "Wed, 21 Oct 2015 07:28:11 GMT")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def as_fraction(self, asked: dict[str, Any], turn: int) -> None:
        self.send({}, 429, Retry_After="2.6") if turn == 1 else self.as_normal(asked, turn)

    def as_milliseconds(self, asked: dict[str, Any], turn: int) -> None:
        self.send({}, 429, retry_after_ms="2600", Retry_After="9") if turn == 1 else self.as_normal(asked, turn)

    def as_filter(self, asked: dict[str, Any], turn: int) -> None:
        self.send({"choices": [{"text": "", "finish_reason": "content_filter"}]})

    def as_abort(self, asked: dict[str, Any], turn: int) -> None:
        self.send({"choices": [{"text": "half of", "finish_reason": "abort"}]})

    def as_silent(self, asked: dict[str, Any], turn: int) -> None:
        self.send({"choices": [{"message": {"content": None, "reasoning": "Hm."}, "finish_reason": "length"}]})

    def as_torn(self, asked: dict[str, Any], turn: int) -> None:
        self.send(spelled(asked, self.path, -1, "\ufffd"))

    def as_blank(self, asked: dict[str, Any], turn: int) -> None:
        self.send(spelled(asked, self.path, -1, ""))

    def as_halves(self, asked: dict[str, Any], turn: int) -> None:
        # every byte a token, parts of characters as U+FFFD
        data = asked["prompt"].encode()
        pieces = [data[place : place + 1].decode("utf-8", "replace") for place in range(len(data))]
        values = [None, *(-float(place) for place in range(1, len(pieces)))]
        usage = {} if asked["model"] == "uncounted" else {"prompt_tokens": len(pieces), "completion_tokens": 0}
        logprobs = {"tokens": pieces, "token_logprobs": values}
        self.send({"choices": [{"text": "", "logprobs": logprobs}], "usage": usage})

    as_uncounted = as_halves

    def as_patience(self, asked: dict[str, Any], turn: int) -> None:
        self.send({"error": "tomorrow"}, 429, Retry_After="86400")

    def as_broken(self, asked: dict[str, Any], turn: int) -> None:
        self.send({"error": "out of order"}, 500)

    def as_slow(self, asked: dict[str, Any], turn: int) -> None:
        threading.Event().wait(30)

    def as_drip(self, asked: dict[str, Any], turn: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(1000):
                self.wfile.write(b" ")
                threading.Event().wait(0.02)

    def as_cut(self, asked: dict[str, Any], turn: int) -> None:
        if turn > 1:
            return self.as_normal(asked, turn)
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"choices": [')
        self.close_connection = True

    def as_dies(self, asked: dict[str, Any], turn: int) -> None:
        if turn <= 2:
            return self.as_normal(asked, turn)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it")
        self.wfile.flush()
        os._exit(1)

    def as_nonsense(self, asked: dict[str, Any], turn: int) -> None:
        body = b"<html>\x1b[31m\x00 welcome to the \xff router"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def as_list(self, asked: dict[str, Any], turn: int) -> None:
        self.send([1, 2, 3])

    def as_empty(self, asked: dict[str, Any], turn: int) -> None:
        self.send({"choices": []})

    def as_refuses(self, asked: dict[str, Any], turn: int) -> None:
        self.send({"error": f"too long, {self.headers.get('Authorization')}"}, 400)

    def as_moved(self, asked: dict[str, Any], turn: int) -> None:
        self.send({}, 302, Location="http://127.0.0.1:9/elsewhere")

    def as_kept(self, asked: dict[str, Any], turn: int) -> None:
        self.send({"choices": [{"text": "one\ntwo\nthree", "finish_reason": "length"}]})

    def as_short(self, asked: dict[str, Any], turn: int) -> None:
        found = answer(asked, self.path)
        del found["choices"][0]["logprobs"]["token_logprobs"][-2:]
        self.send(found)

    def as_truncated(self, asked: dict[str, Any], turn: int) -> None:
        found = answer(asked, self.path)
        for values in found["choices"][0]["logprobs"].values():
            del values[-3:]
        self.send(found)

    def as_gap(self, asked: dict[str, Any], turn: int) -> None:
        found = answer(asked, self.path)
        found["choices"][0]["logprobs"]["token_logprobs"][-2] = None
        self.send(found)

    def as_infinite(self, asked: dict[str, Any], turn: int) -> None:
        found = answer(asked, self.path)
        found["choices"][0]["logprobs"]["token_logprobs"][-2] = float("-inf")
        self.send(found)

    def as_vllm(self, asked: dict[str, Any], turn: int) -> None:
        entries: list[Any] = [None]
        for place, token in enumerate(tokens(asked["prompt"])[1:]):
            entries.append({str(place): {"logprob": -len(token) / 10, "rank": 1, "decoded_token": token}})
        self.send({"choices": [{"text": "x", "prompt_logprobs": entries}]})

    def as_bos(self, asked: dict[str, Any], turn: int) -> None:
        found = answer(asked, self.path)
        given = found["choices"][0]["logprobs"]
        given["token_logprobs"][0] = -len(given["tokens"][0]) / 10
        given["top_logprobs"][0] = {given["tokens"][0]: given["token_logprobs"][0]}
        for name, value in (("tokens", "<s>"), ("token_logprobs", None), ("top_logprobs", None)):
            given[name].insert(0, value)
        self.send(found)


def tokens(text: str) -> list[str]:
    return re.findall(r"\s?\S+|\s", text)


def answer(asked: dict[str, Any], path: str) -> dict[str, Any]:
    usage = {"prompt_tokens": 4, "completion_tokens": 2}
    if path.endswith("/chat/completions"):
        said = " | ".join(f"{turn['role']}: {turn['content']}" for turn in asked["messages"])
        return {"choices": [{"message": {"content": said}, "finish_reason": "stop"}], "usage": usage}
    choice: dict[str, Any] = {"text": asked["prompt"].upper(), "finish_reason": "stop"}
    if asked.get("echo"):
        pieces = [*tokens(asked["prompt"]), " generated"]
        values: list[float | None] = [None, *(-len(piece) / 10 for piece in pieces[1:])]
        tops: list[Any] = [None, *({piece: -len(piece) / 10} for piece in pieces[1:])]
        choice["logprobs"] = {"tokens": pieces, "token_logprobs": values, "top_logprobs": tops}
    return {"choices": [choice], "usage": usage}


def spelled(asked: dict[str, Any], path: str, place: int, spelling: str) -> dict[str, Any]:
    """The usual answer with one token spelled in another way."""
    found = answer(asked, path)
    found["choices"][0]["logprobs"]["tokens"][place] = spelling
    return found


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    # the test that started the server ends it by closing its standard input
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    server.serve_forever()
