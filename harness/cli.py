"""How a command line becomes one verb's work and an exit code; imports nothing that the verb does not need.

Exit codes: 0 all computed, 1 something failed, 2 wrong usage or unknown name, 130 interrupted. A problem is one line on
stderr, never a traceback; `HARNESS_DEBUG=1` shows where it arose.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from harness.api.errors import HarnessError, UsageError
from harness.terminal import plain

EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line instead of the usage and the message."""
        self.exit(2, f"{self.prog}: {plain(message)} (see `{self.prog} --help`)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the process's exit code."""
    for stream in (sys.stdout, sys.stderr):
        # a terminal that cannot show a letter gets its escape, never an error
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = os.environ.get("HARNESS_DEBUG", "") not in ("", "0")
    if not debug:
        sys.excepthook = _one_line
    try:
        options = _parser(given).parse_args(given, argparse.Namespace(given=given))
        return int(options.execute(options))
    except (HarnessError, OSError) as problem:
        if isinstance(problem, BrokenPipeError):
            # the reader (`| head`) went away; keep the interpreter from writing to it again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_CLOSED_PIPE
        if debug:
            raise
        print(f"harness: {plain(str(problem))}", file=sys.stderr)
        return problem.exit_code if isinstance(problem, HarnessError) else 1
    except KeyboardInterrupt as problem:
        hint = str(problem)
        print(f"\nharness: interrupted.{' ' + hint if hint else ''}", file=sys.stderr)
        return EXIT_INTERRUPTED


def verbs() -> Mapping[str, str]:
    """Verb -> its one-line help, read from the files' first lines without importing them."""
    found = {}
    for file in sorted((Path(__file__).parent / "commands").glob("*.py")):
        if not file.name.startswith("_"):
            docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            found[file.stem] = docstring.partition("\n")[0].partition(": ")[2]
    return found


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="harness",
        description="Evaluate any registered task with any registered model and decoder: "
        "quality with intervals and speed, side by side.",
        epilog="`harness VERB --help` says more. HARNESS_DEBUG=1 shows where an error arose.",
    )
    parser.add_argument(
        "--version", action="version", version=f"seqharness {_version()}" if "--version" in given else ""
    )
    choices = parser.add_subparsers(metavar="VERB", required=True, title="verbs")
    known = verbs()
    asked = next((word for word in given if not word.startswith("-")), None)
    if asked is not None and asked not in known:
        near = difflib.get_close_matches(asked, known, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"The verbs are {', '.join(known)}."
        raise UsageError(f"no verb named {asked!r}. {hint}")
    for verb, line in known.items():
        child = choices.add_parser(verb, help=line, description=line[:1].upper() + line[1:])
        if verb == asked:
            importlib.import_module(f"harness.commands.{verb}").configure(child)
    return parser


def _version() -> str:
    from importlib import metadata

    return metadata.version("seqharness")


def _one_line(kind: type[BaseException], problem: BaseException, where: TracebackType | None) -> None:
    reason = plain(str(problem)) or "no reason given"
    print(f"harness: internal error, {kind.__name__}: {reason} (HARNESS_DEBUG=1 shows where)", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
