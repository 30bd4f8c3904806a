"""Renders a chat template as transformers does; run by `_template` in a process whose memory and time are bounded.

One JSON line in, one JSON line out: first {"template", "memory_bytes"}, then for each conversation {"seconds",
"variables"}, which is answered with {"text"} or {"problem"}. Needs jinja2 alone.
"""

from __future__ import annotations

import json
import math
import signal
import sys
from datetime import datetime
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

try:
    import resource
except ImportError:  # Windows has none; the caller's own limit of time holds there
    resource = None  # type: ignore[assignment]

# a prompt of any length that a model reads is shorter
LONGEST = 1 << 24  # characters

# "today" in every prompt: one that changed by the day would make yesterday's number another one. The date is the one
# that Llama 3.2's own template takes where it is told none.
TODAY = datetime(2024, 7, 26)


class Generation(Extension):
    """`{% generation %}` marks what the assistant said, for training; for a prompt it is its own body."""

    tags = {"generation"}  # noqa: RUF012 - jinja's own declaration

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        """The marked statements, called in place."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_said"), [], [], body).set_lineno(line)

    def _said(self, caller: Any) -> Any:
        return caller()


def environment() -> ImmutableSandboxedEnvironment:
    """The names that templates of the hub expect, as transformers offers them."""
    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    sandbox.filters["tojson"] = _tojson
    sandbox.globals["raise_exception"] = _refuse
    sandbox.globals["strftime_now"] = TODAY.strftime
    return sandbox


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # jinja's own escapes HTML
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _allow(seconds: int) -> None:
    if resource is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        _lower(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime) + seconds)


def _lower(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides when this process ends
    start = json.loads(sys.stdin.readline())
    if resource is not None:
        _lower(resource.RLIMIT_CORE, 0)
        _lower(resource.RLIMIT_AS, start["memory_bytes"])
    compiled: jinja2.Template | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        _allow(asked["seconds"])
        try:
            if compiled is None:
                compiled = environment().from_string(start["template"])
            text = compiled.render(**asked["variables"])
            answer = {"text": text} if len(text) <= LONGEST else {"problem": f"it wrote {len(text)} characters"}
        except MemoryError:
            answer = {"problem": "it asked for too much memory"}
        except RecursionError:
            answer = {"problem": "it calls itself without end"}
        except Exception as problem:  # noqa: BLE001 - whatever a foreign template raises is its answer, and is passed on
            kind = "" if isinstance(problem, jinja2.TemplateError) else f"{type(problem).__name__}: "
            answer = {"problem": f"{kind}{problem}"[:500]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
