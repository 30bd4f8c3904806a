"""Damaged data files: each reader gives rows, or a DataError that names the file. No other exception, and no hang."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random

import pytest
from damage import damaged_bytes, damaged_json

from harness import readers, timing
from harness.api.errors import DataError

ROWS = [{"source": f"line {number} é日🙂", "target": 'x, "y"', "n": number} for number in range(40)]
CELLS = [[str(value) for value in row.values()] for row in ROWS]
TABLES = {
    "jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    "json": json.dumps(ROWS).encode(),
    "tsv": "\n".join("\t".join(cells) for cells in [["source", "target", "n"], *CELLS]).encode(),
    "csv": "\r\n".join(
        ",".join(json.dumps(cell) for cell in row) for row in [["source", "target", "n"], *CELLS]
    ).encode(),
    "txt": "\n".join(row["source"] for row in ROWS).encode(),
}
SECONDS = 10.0  # a reader that takes longer hangs


def read(path: Path) -> str:
    """What became of a file: "rows", or the error's line."""
    watch = timing.clock()
    try:
        list(readers.rows(path, ["source"] if path.suffix != ".txt" else []))
        said = "rows"
    except DataError as problem:
        said = str(problem)
        assert str(path) in said
    assert timing.clock() - watch < SECONDS
    return said


def parquet_bytes(folder: Path) -> bytes:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = {
        "source": [row["source"] for row in ROWS],
        "n": list(range(40)),
        "nested": [{"a": [1, 2], "when": number} for number in range(40)],
        "date": arrow.array(range(40), arrow.timestamp("ns")),
    }
    parquet.write_table(arrow.table(table), folder / "whole.parquet", row_group_size=7)
    return (folder / "whole.parquet").read_bytes()


def damage_and_read(folder: Path, ending: str, whole: bytes, rounds: range) -> list[str]:
    said = []
    for seed in rounds:
        path = folder / f"damaged.{ending}"
        path.write_bytes(damaged_bytes(whole, Random(seed)))
        said.append(read(path))
    return said


@pytest.mark.parametrize("ending", [*TABLES, *(f"{name}.gz" for name in TABLES), "parquet"])
@pytest.mark.parametrize("rounds", [range(50), pytest.param(range(50, 2050), marks=pytest.mark.slow)], ids=len)
def test_a_damaged_file_gives_rows_or_one_line(tmp_path: Path, ending: str, rounds: range) -> None:
    whole = parquet_bytes(tmp_path) if ending == "parquet" else TABLES[ending.removesuffix(".gz")]
    whole = gzip.compress(whole, mtime=0) if ending.endswith(".gz") else whole
    said = damage_and_read(tmp_path, ending, whole, rounds)
    # the damage is felt
    assert ending == "txt" or sum(line != "rows" for line in said) > len(rounds) // 10


@pytest.mark.parametrize("rounds", [range(50), pytest.param(range(50, 2050), marks=pytest.mark.slow)], ids=len)
def test_damaged_rows_give_rows_or_one_line(tmp_path: Path, rounds: range) -> None:
    for seed in rounds:
        value = damaged_json(ROWS[:4], Random(seed))
        for ending, text in (("json", json.dumps(value)), ("jsonl", json.dumps(value) + "\n")):
            (tmp_path / f"t.{ending}").write_text(text, encoding="utf-8")
            read(tmp_path / f"t.{ending}")
