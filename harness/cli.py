"""How a command line becomes one verb's work and an exit code; imports nothing that the verb does not need.

Exit codes: 0 all computed, 1 something failed, 2 wrong usage or unknown name, 130 interrupted (Ctrl-C), 143 terminated,
129 hung up; the last three end alike, with the command that goes on. A problem is one line on stderr, never a
traceback; `HARNESS_DEBUG=1` shows where it arose.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, TextIO

from harness.api.errors import HarnessError, UsageError
from harness.terminal import plain

EXIT_CLOSED_PIPE = 141
EXIT_SIGNAL = 128  # plus the number of the signal, as shells count
# signals that end a command as Ctrl-C does, so that a batch system or a closed terminal loses nothing
ENDING = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line instead of the usage and the message."""
        self.exit(2, f"{self.prog}: {plain(message)} (see `{self.prog} --help`)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the process's exit code."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # a terminal that cannot show a letter gets its escape, never an error
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = os.environ.get("HARNESS_DEBUG", "") not in ("", "0")
    if not debug:
        sys.excepthook = _one_line
    with _ending_signals() as seen:
        try:
            parser, verb = _parser(given)
            options, unknown = parser.parse_known_args(given, argparse.Namespace(given=given))
            if unknown:
                (verb or parser).error(_not_an_option(unknown[0], verb or parser))
            return int(options.execute(options))
        except (HarnessError, OSError) as problem:
            if seen and isinstance(problem, OSError):
                # the terminal that hung up cannot be written to on the way out
                _silence(sys.stdout, sys.stderr)
                return EXIT_SIGNAL + seen[0]
            if isinstance(problem, BrokenPipeError):
                # the reader (`| head`) went away
                _silence(sys.stdout)
                return EXIT_CLOSED_PIPE
            if debug:
                raise
            _tell(f"harness: {plain(_told(problem))}")
            return problem.exit_code if isinstance(problem, HarnessError) else 1
        except KeyboardInterrupt as problem:
            number = seen[0] if seen else signal.SIGINT
            hint = str(problem)
            _tell(f"\nharness: {ENDING[number]}.{' ' + hint if hint else ''}")
            return EXIT_SIGNAL + number


@contextmanager
def _ending_signals() -> Iterator[list[signal.Signals]]:
    """Within, each ending signal arrives as a KeyboardInterrupt; yields those that came, first one first.

    One that is ignored (nohup) stays so.
    """
    seen: list[signal.Signals] = []

    def end(number: int, frame: FrameType | None) -> NoReturn:
        seen.append(signal.Signals(number))
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        # only the main thread hears signals
        yield seen
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    caught = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    for number in caught:
        signal.signal(number, end)
    try:
        yield seen
    finally:
        for number in caught:
            signal.signal(number, before[number])


def _open_closed_streams() -> None:
    """Give a stream that the shell closed (`2>&-`) a place to write to; else the next file would take its number."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8"))


def _tell(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        # whoever listened is gone
        _silence(sys.stderr)


def _silence(*streams: TextIO) -> None:
    """Keep the interpreter from writing to streams again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def verbs() -> Mapping[str, str]:
    """Verb -> its one-line help, read from the files' first lines without importing them."""
    found = {}
    for file in sorted((Path(__file__).parent / "commands").glob("*.py")):
        if not file.name.startswith("_"):
            docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            found[file.stem] = docstring.partition("\n")[0].partition(": ")[2]
    return found


def _told(problem: Exception) -> str:
    """What happened, an error of the system's without its number."""
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.filename}: {problem.strerror}." if problem.filename else f"{problem.strerror}."
    return str(problem)


def _not_an_option(word: str, parser: argparse.ArgumentParser) -> str:
    """What is wrong with an argument that nobody took, and the nearest option."""
    name = word.partition("=")[0]
    if not name.startswith("-"):
        return f"nothing asks for {word!r}"
    known = re.findall(r"--[a-z][a-z-]*", parser.format_usage())
    near = difflib.get_close_matches(name, known, 1)
    return f"no option {name!r}.{f' Did you mean {near[0]!r}?' if near else ''}"


def _parser(given: Sequence[str]) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser | None]:
    """The whole command's parser, and that of the verb that was asked for."""
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
    chosen = None
    for verb, line in known.items():
        child = choices.add_parser(verb, help=line, description=line[:1].upper() + line[1:])
        if verb == asked:
            chosen = child
            importlib.import_module(f"harness.commands.{verb}").configure(child)
    return parser, chosen


def _version() -> str:
    from importlib import metadata

    return metadata.version("seqharness")


def _one_line(kind: type[BaseException], problem: BaseException, where: TracebackType | None) -> None:
    reason = plain(str(problem)) or "no reason given"
    print(f"harness: internal error, {kind.__name__}: {reason} (HARNESS_DEBUG=1 shows where)", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
