"""What is on the static page? One HTML file that sorts and filters by itself, and one data file a run for its details.

Opens from `file://`. Text that others wrote is JSON with `<` escaped on its way in, and textContent on its way out;
the content security policy admits the page's own script by its digest and data files beside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from harness import codec
from harness.boards.records import Record, Shelf
from harness.boards.rows import Row, command, seeds_of
from harness.boards.tables import Board
from harness.methods import TOLD, legend, mark
from harness.pairing import file_name
from harness.results import Measurement
from harness.terminal import plain

FOLDER = Path(__file__).parent
SCORES = 2000  # examples whose scores the page keeps, for wins and losses
# what the page knows of a row, in this order; the script's columns read them by name
FIELDS = (
    "board", "rank", "letters", "model", "decoder", "value", "low", "high", "method", "n", "failed", "tokens",
    "examples", "p50", "p99", "memory", "parameters", "state", "joules", "device", "busy", "budget", "exact", "date",
    "digest", "origin", "seeds", "changed",
)  # fmt: skip


def build(boards: Sequence[Board], shelf: Shelf) -> dict[str, str]:
    """Path -> text of the page and its data files."""
    files = {"site/index.html": index(boards, shelf.problems)}
    for board in boards:
        for row, record in zip(board.rows, board.records, strict=True):
            files[f"site/runs/{file_name(row.digest)}.js"] = details(board, row, record)
    return files


def index(boards: Sequence[Board], problems: Sequence[str] = ()) -> str:
    """The page itself."""
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, keep_trailing_newline=True
    )
    style = (FOLDER / "page.css").read_text(encoding="utf-8")
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    # the menus' names and what the rows say are compared by the script, so that both are made plain alike
    devices = sorted({plain(row.device) for board in boards for row in board.rows})
    data = {
        "fields": FIELDS,
        "boards": [_board(board) for board in boards],
        "devices": devices,
        "rows": [
            _row(place, row, devices.index(plain(row.device)))
            for place, board in enumerate(boards)
            for row in board.rows
        ],
    }
    return environment.get_template("page.html.j2").render(
        # these four are the page's own, not anyone's text: the data are escaped by _json
        style=Markup(style),
        script=Markup(script),
        data=Markup(_json(data)),
        style_hash=_hash(style),
        script_hash=_hash(script),
        count=len(data["rows"]),
        families=sorted({plain(board.family) for board in boards}),
        tasks=sorted({plain(board.task) for board in boards}),
        devices=[device for device in devices if device],
        methods=legend(TOLD),
        problems=[plain(problem) for problem in problems],
    )


def details(board: Board, row: Row, record: Record) -> str:
    """One run's data file: a call with inert JSON."""
    result = record.result
    signature = {key: value for key, value in result.signature.items() if key != "schema"}
    run = {
        "title": row.name,
        "task": board.task,
        "caption": board.caption if not record.imported else f"imported from {record.origin}",
        "command": "" if record.imported else command(result),
        "metrics": {name: _measurement(found) for name, found in result.metrics.items()},
        "failures": [[kind.message, kind.count] for kind in result.failures],
        "notes": list(result.notes),
        "samples": [
            {
                "id": sample.id,
                "picked": sample.picked,
                "score": _number(sample.score),
                "question": sample.question,
                "target": sample.target,
                "answer": sample.answer,
            }
            for sample in record.samples
        ],
        "signature": codec.pack(signature),
        "environment": codec.pack(dict(result.environment)),
        "examples": result.samples.ids_digest if result.samples else "",
        "scores": _scores(record),
    }
    return f"// written by `harness publish`\nreceiveRun({_json(result.digest)}, {_json(run)});\n"


def _board(board: Board) -> dict[str, Any]:
    first = board.rows[0]
    return {
        "family": plain(board.family),
        "task": plain(board.task),
        "caption": board.caption,
        "metric": first.metric,
        "unit": first.unit,
        "up": first.higher_is_better,
    }


def _row(board: int, row: Row, device: int) -> list[Any]:
    numbers: Sequence[float | None] = (
        row.tokens_per_second, row.examples_per_second, row.p50_seconds, row.p99_seconds, row.memory_bytes,
        row.parameters, row.state_bytes, row.joules,
    )  # fmt: skip
    return [
        board, row.rank, row.letters, row.model, row.decoder, _rounded(row.value), _rounded(row.low),
        _rounded(row.high), mark(row.method), row.n, row.failed, *map(_rounded, numbers), device, int(row.busy),
        row.budget, row.exact, row.date, row.digest, "" if row.origin == "harness" else row.origin, seeds_of(row),
        int(row.changed),
    ]  # fmt: skip


def _measurement(found: Measurement) -> Mapping[str, Any]:
    return {
        "value": _number(found.value),
        "low": _number(found.low),
        "high": _number(found.high),
        "method": found.method,
        "n": found.n,
        "unit": found.unit,
        "up": found.higher_is_better,
    }


def _scores(record: Record) -> list[float | None]:
    """The headline's number for each example, where it is one number and there are not too many."""
    result = record.result
    rows = None if result.samples is None else result.samples.statistics.get(result.headline)
    if rows is None or rows.shape[1:] != (1,) or len(rows) > SCORES:
        return []
    scores = np.asarray(rows)[:, 0]
    if (scores == scores.round()).all() and (abs(scores) < 1e6).all():
        return list(scores.astype(int).tolist())
    return [_rounded(score) for score in scores.tolist()]


def _rounded(number: float | None) -> float | None:
    if number is None or not isfinite(number):
        return None
    short = float(f"{number:.6g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


def _number(number: float) -> float | None:
    return float(number) if isfinite(number) else None


def _json(value: Any) -> str:
    """JSON in ASCII that neither closes a script element nor opens a comment in one."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
