"""How a run's progress is drawn: one bar a run on a terminal, a few plain lines anywhere else."""

from __future__ import annotations

import sys
from typing import Any, TextIO, final

from harness.session import Progress
from harness.terminal import plain

STEPS = 10  # plain lines a run
WIDTH = 56  # characters of a title


@final
class Display:
    """Draws what the runner reports, on stderr; used as a context manager, so that a bar never stays half drawn."""

    def __init__(self, cells: int, stream: TextIO | None = None) -> None:
        self._cells = cells
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._bar: Any = None
        self._title = ""
        self._numbers: dict[str, int] = {}  # title -> place of its cell
        self._drawn = ("", -1)  # phase and step of the last plain line

    def __enter__(self) -> Display:
        """Nothing is drawn yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last bar as it stands."""
        self._close()

    def __call__(self, progress: Progress) -> None:
        """Draw one report."""
        title = f"{progress.cell.title} seed {progress.cell.seed}"
        if title != self._title:
            self._close()
            self._title, self._drawn = title, ("", -1)
            self._numbers.setdefault(title, len(self._numbers) + 1)
        if self._is_terminal:
            self._draw_bar(progress)
        else:
            self._draw_line(progress)

    def announce(self, line: str) -> None:
        """One line above the bar."""
        if self._bar is not None:
            self._bar.write(plain(line), file=self._stream)
        else:
            print(plain(line), file=self._stream, flush=True)

    def _draw_bar(self, progress: Progress) -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(
                total=progress.total,
                desc=f"[{self._numbers[self._title]}/{self._cells}] {plain(progress.cell.title, WIDTH)}",
                file=self._stream,
                dynamic_ncols=True,
                # the runner knows the rate of this session, which a resumed bar does not
                bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {postfix}"
                if progress.total or progress.phase == "fit"
                else "{desc} {n_fmt} {postfix}",
            )
        fitting = progress.phase == "fit"
        self._bar.total = 100 if fitting else progress.total
        self._bar.n = round(100 * progress.share) if fitting else progress.done
        self._bar.set_postfix_str(_status(progress), refresh=True)

    def _draw_line(self, progress: Progress) -> None:
        share = progress.share if progress.phase == "fit" else progress.done / (progress.total or sys.maxsize)
        step = (progress.phase, int(STEPS * share))
        if step != self._drawn:
            self._drawn = step
            count = f"{progress.done}/{progress.total if progress.total is not None else '?'}"
            title = f"[{self._numbers[self._title]}/{self._cells}] {plain(self._title)}"
            print(f"{title}: {count} {_status(progress)}", file=self._stream, flush=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _status(progress: Progress) -> str:
    """Phase, rate, time left, current metric and failures, as far as they are known."""
    parts = [] if progress.phase == "run" else [progress.phase]
    if progress.phase == "run" and progress.rate:
        parts.append(f"{progress.rate:.3g}/s")
    if progress.phase == "run" and progress.remaining is not None:
        parts.append(f"{_clock_face(progress.remaining)} left")
    if progress.value is not None:
        parts.append(f"{progress.metric} {progress.value:.4g}")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.text:
        parts.append(progress.text)
    return plain(", ".join(parts))


def _clock_face(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
