"""How is a chat template rendered? It is a program that came with the weights, so it runs in a process of its own.

The sandbox keeps it from the machine, but not from looping for ever or from asking for all memory, and neither can be
stopped from inside. The process takes 0.1 s to start, stays for the next conversation, and dies with its owner.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

PROCESS = Path(__file__).with_name("_template_process.py")

# of computing, for one conversation; real templates take milliseconds
SECONDS = 2
# of waiting, on a machine that is busy with other things
SECONDS_WAITED = 8
MEMORY_BYTES = 1 << 30


@final
class Template:
    """One chat template: `render` gives the text of a conversation, or raises a ValueError that says what it did."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0  # the process that started it
        self._end: Callable[[], object] = lambda: None

    def render(self, messages: Sequence[Mapping[str, str]], named: Mapping[str, str]) -> str:
        """The text, ready for the assistant's answer; `named` are the special tokens by their names.

        Errors: ValueError when the template refuses the conversation, breaks, or passes a limit.
        """
        # transformers passes the absent ones as None, not as undefined, and templates ask for the difference
        variables = {
            "messages": list(messages),
            "tools": None,
            "documents": None,
            "add_generation_prompt": True,
            **named,
        }
        with self._lock:
            answer = self._ask({"seconds": SECONDS, "variables": variables})
        if "text" in answer:
            return str(answer["text"])
        problem = " ".join(str(answer["problem"]).split())
        raise ValueError(f"the model's chat template refuses this conversation: {problem}")

    def _ask(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        stopped = threading.Event()

        def stop() -> None:
            stopped.set()
            process.kill()

        timer = threading.Timer(SECONDS_WAITED, stop)
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it died meanwhile, which the missing answer tells
                process.stdin.write(json.dumps(asked).encode("ascii") + b"\n")
                process.stdin.flush()
            line = process.stdout.readline()
        finally:
            timer.cancel()
        if line.endswith(b"\n"):
            answer: Mapping[str, Any] = json.loads(line)
            return answer
        return {"problem": self._last_words(process, stopped.is_set())}

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner == os.getpid():
            return self._process
        if self._process is not None:
            # after a fork it is the parent's: two that read one pipe would get each other's answers
            _forget(self._process)
        process = subprocess.Popen(
            # -P: the folder of this file holds a `http.py`, which must not stand for the library's
            [sys.executable, "-P", str(PROCESS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._process, self._owner = process, os.getpid()
        self._end = weakref.finalize(self, _end, process, os.getpid())
        assert process.stdin is not None
        first = json.dumps({"template": self._text, "memory_bytes": MEMORY_BYTES}).encode("ascii")
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(first + b"\n")
        return process

    def _last_words(self, process: subprocess.Popen[bytes], stopped: bool) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        self._process = None
        self._end()
        if stopped or process.returncode == -getattr(signal, "SIGXCPU", 0):
            return f"it was not done after {SECONDS} s of computing, and was stopped"
        return f"its process ended with status {process.returncode}"


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    """Stop a process that this one started, and leave no pipe open."""
    if owner != os.getpid():
        return
    process.kill()
    _close(process)
    process.wait()


def _forget(process: subprocess.Popen[bytes]) -> None:
    """Let go of a process that another one started."""
    _close(process)
    process.returncode = 0  # not ours to wait for


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
