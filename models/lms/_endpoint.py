"""How a server on the network is asked many things at once: limits, time-outs, retries, and a key that never leaks."""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, final
from urllib.parse import SplitResult, urlsplit

from harness.api import secrets
from harness.api.errors import UsageError
from harness.api.types import Failure

LARGEST_ANSWER = 1 << 28  # bytes; a server that sends more is not answering the question
EXCERPT = 200  # characters of a server's error that a message repeats
VERSION = re.compile(r"/v[0-9]+[a-z0-9]*$")  # how the path of an address usually ends
# the server is busy, restarting or was slow: the same question may work later
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True, slots=True)
class Patience:
    """How many questions are open at once, and how long and how often each is tried."""

    concurrency: int = 8
    timeout: float = 120.0  # seconds for one try, from connecting to the last byte
    retries: int = 5  # tries after the first
    first_wait: float = 0.5  # seconds; doubles with every try
    longest_wait: float = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes


class _InterruptedExchangeError(OSError):
    """The connection ended before the whole answer was there."""


def address(url: str) -> SplitResult:
    """The parts of a server's address; UsageError when it is none or holds a secret, which is then not repeated."""
    if "@" in url or "?" in url or "#" in url:
        raise UsageError("url= holds a user name, a password or a query, which would be written into results.")
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and parts.hostname is not None
    except ValueError as problem:
        raise UsageError(f"url={url!r} is not an address: {problem}.") from problem
    if parts.scheme not in ("http", "https") or not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(f"url={url!r} is not an address such as http://127.0.0.1:8000/v1.")
    return parts


@final
class Endpoint:
    """An HTTP server that answers JSON with JSON.

    Redirects are not followed: the key would travel with them. `pause` waits the given seconds between two tries;
    its length is drawn from a generator seeded by the question, so that a run waits alike each time it is repeated.
    """

    def __init__(self, url: str, key: str, patience: Patience, pause: Callable[[float], object] | None = None) -> None:
        parts = address(url)
        if not (key.isascii() and key.isprintable()):
            raise UsageError("the key in the environment holds line breaks or signs that no HTTP header may carry.")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname or "", parts.port
        self._root, self._url = parts.path.rstrip("/"), f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._key, self._patience = key, patience
        self._pause = pause or threading.Event().wait

    def get(self, path: str) -> Mapping[str, Any] | Failure:
        """The answer to one GET, retried like any other."""
        return self._asked("GET", path, None)

    def post_all(
        self, path: str, payloads: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, Mapping[str, Any] | Failure]]:
        """(index, answer) of every payload in the order of their arrival, at most `concurrency` open at once."""
        pool = ThreadPoolExecutor(self._patience.concurrency, thread_name_prefix="endpoint")
        try:
            waiting = {pool.submit(self._asked, "POST", path, item): index for index, item in enumerate(payloads)}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _asked(self, method: str, path: str, payload: Mapping[str, Any] | None) -> Mapping[str, Any] | Failure:
        body = b"" if payload is None else json.dumps(payload).encode("ascii")
        chance = random.Random(zlib.crc32(body))
        for attempt in range(self._patience.retries + 1):
            try:
                reply = self._exchange(method, path, body)
            except (OSError, http.client.HTTPException) as problem:
                trouble, wait = self._shown(f"{type(problem).__name__}: {problem}"), 0.0
            else:
                if reply.status not in PASSING:
                    return self._read(reply)
                trouble, wait = self._complaint(reply), _retry_after(reply.headers)
            if wait > self._patience.longest_wait:
                return Failure(f"{self._url} asks for {wait:.0f} s of patience: {trouble}")
            if attempt < self._patience.retries:
                # between half and the whole of the doubled wait, so that many clients do not return at once
                backoff = self._patience.first_wait * 2.0**attempt * (0.5 + 0.5 * chance.random())
                self._pause(max(wait, min(backoff, self._patience.longest_wait)))
        return Failure(f"{self._url} gave no answer in {self._patience.retries + 1} tries; the last: {trouble}")

    def _exchange(self, method: str, path: str, body: bytes) -> _Reply:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._patience.timeout)
        late = threading.Event()
        try:
            connection.connect()
            # the connection's own time-out starts again at every byte, which a slow server can use for ever
            timer = threading.Timer(self._patience.timeout, _cut, (connection.sock, late))
            timer.daemon = True
            timer.start()
            try:
                connection.request(method, self._root + path, body or None, self._headers())
                response = connection.getresponse()
                data = response.read(LARGEST_ANSWER + 1)
            finally:
                timer.cancel()
        except (OSError, http.client.HTTPException) as problem:
            if late.is_set() or isinstance(problem, TimeoutError):
                raise self._too_late() from problem
            raise
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        promised = headers.get("content-length", "")
        if promised.isdecimal() and len(data) < min(int(promised), LARGEST_ANSWER):
            # a cut connection reads like one that the server ended
            if late.is_set():
                raise self._too_late()
            raise _InterruptedExchangeError(f"the answer broke off after {len(data)} bytes")
        return _Reply(response.status, headers, data)

    def _too_late(self) -> TimeoutError:
        return TimeoutError(f"no whole answer in {self._patience.timeout:g} s")

    def _headers(self) -> dict[str, str]:
        plain = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        return {**plain, "Authorization": f"Bearer {self._key}"} if self._key else plain

    def _read(self, reply: _Reply) -> Mapping[str, Any] | Failure:
        if not 200 <= reply.status < 300:
            return Failure(self._complaint(reply))
        if len(reply.body) > LARGEST_ANSWER:
            return Failure(f"{self._url} sent more than {LARGEST_ANSWER >> 20} MiB.")
        try:
            answer = json.loads(reply.body)
        # a deeply nested text overflows the parser, which is the sender's fault as well
        except (ValueError, RecursionError) as problem:
            return Failure(f"{self._url} sent no JSON ({type(problem).__name__}): {self._shown(_text(reply.body))}")
        if not isinstance(answer, dict):
            return Failure(f"{self._url} sent a JSON {type(answer).__name__}, not an object.")
        return answer

    def _complaint(self, reply: _Reply) -> str:
        said = self._shown(_text(reply.body)) or "no reason given"
        # what most 404 mean, and no server says
        hint = "" if reply.status != 404 or VERSION.search(self._root) else "; does url= lack its /v1?"
        return f"HTTP {reply.status} from {self._url}: {said}{hint}"

    def _shown(self, text: str) -> str:
        """A server's words fit for a message: one line, cut short, without the key, should the server repeat it."""
        plain = secrets.masked(text.replace(self._key, "[key]") if self._key else text)
        line = " ".join("".join(letter if letter.isprintable() else " " for letter in plain).split())
        return line if len(line) <= EXCERPT else line[:EXCERPT] + " ..."


def _cut(connection: socket.socket, late: threading.Event) -> None:
    late.set()
    # the other side may have been faster; the reader sees the end either way
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _text(body: bytes) -> str:
    return body[: 8 * EXCERPT].decode("utf-8", "replace")


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks for: `retry-after-ms`, else `Retry-After` as a number or a date.

    A date is measured against the answer's own `Date`, so that two clocks need not agree.
    """
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000.0
    given = headers.get("retry-after", "")
    seconds = _seconds(given)
    if seconds is not None:
        return seconds
    try:
        return max(0.0, (parsedate_to_datetime(given) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, ValueError, TypeError, OverflowError):
        return 0.0


def _seconds(text: str) -> float | None:
    """A plain number, fractions included; None for anything else, "inf" and "nan" among them."""
    return float(text) if re.fullmatch(r"\s*[0-9]{1,12}(\.[0-9]{0,12})?\s*", text) else None
