"""Rows are read the same from every format, and a damaged file is one clear line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from harness import readers
from harness.api.errors import DataError

ODD = "quote \" apostrophe ' emoji 🙂 rtl \u202e nul \x00 bell \x07"


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize(
    ("ending", "data"),
    [
        ("jsonl", b'{"a": "1", "b": "x y"}\n{"a": "2", "b": ""}\n'),
        ("json", b'[{"a": "1", "b": "x y"}, {"a": "2", "b": ""}]'),
        ("tsv", b"a\tb\n1\tx y\n2\t\n"),
        ("csv", b'a,b\n1,"x y"\n2,\n'),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_every_table_format_gives_the_same_rows(
    tmp_path: Path, ending: str, data: bytes, packed: str, line_end: str, mark: bytes
) -> None:
    path = write(tmp_path / f"t.{ending}{packed}", mark + data.replace(b"\n", line_end.encode()))
    assert list(readers.rows(path, ("a", "b"))) == [{"a": "1", "b": "x y"}, {"a": "2", "b": ""}]


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").table({"a": ["1", "2"], "b": ["x y", ""]})
    parquet.write_table(table, tmp_path / "t.parquet")
    assert list(readers.rows(tmp_path / "t.parquet", ("a",))) == [{"a": "1", "b": "x y"}, {"a": "2", "b": ""}]


def test_plain_text_gives_one_row_a_line_and_keeps_empty_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", b"one\r\n\r\ntwo")
    assert list(readers.rows(path)) == [{"text": "one"}, {"text": ""}, {"text": "two"}]


def test_a_quote_in_tsv_is_a_letter(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", b'a\tb\n"open\tnever closed\n')
    assert list(readers.rows(path)) == [{"a": '"open', "b": "never closed"}]


def test_odd_characters_survive_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl.gz", json.dumps({"text": ODD, "lone": "\ud800"}).encode())
    assert list(readers.rows(path)) == [{"text": ODD, "lone": "\ud800"}]


def test_extra_columns_are_fine(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", b'{"a": 1, "more": 2}\n')
    assert list(readers.rows(path, ("a",))) == [{"a": 1, "more": 2}]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.jsonl", b"", "holds no rows"),
        ("t.tsv", b"a\tb\n", "holds no rows"),
        ("t.jsonl", b'{"a": 1}\n', r"t.jsonl row 1 has no column 'b'; its columns are a"),
        ("t.jsonl", b'{"a": 1, "b": 2}\n{"a"', "line 2 is not JSON"),
        ("t.jsonl", b"[1]\n", "line 1 is a list, not an object"),
        ("t.tsv", b"a\tb\n1\n", "line 2 has 1 cells; the header has 2"),
        ("t.jsonl", b'{"a": "\xff"}', "not UTF-8 text"),
        ("t.npz", b"", "cannot read rows from .npz"),
        ("t.parquet", b"PAR1 but not really", "not a readable Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_naming_it(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        list(readers.rows(write(tmp_path / name, data), ("a", "b")))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_gzip_file_cut_short_says_after_which_row(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"a": f"{i * 7919 % 104729}"}) + "\n" for i in range(20000)).encode()
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(gzip.compress(rows)[:20000])
    with pytest.raises(DataError, match=r"cut short or damaged after row \d+"):
        list(readers.rows(path))


def test_rows_are_streamed(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", b'{"a": 1}\nnot json\n')
    assert next(readers.rows(path)) == {"a": 1}


def test_a_csv_cell_may_be_as_long_as_a_document(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", b'a,b\r\n"' + b"word " * 40_000 + b'",2\r\n')
    ((row),) = readers.rows(path, ("a", "b"))
    assert (len(row["a"]), row["b"]) == (200_000, "2")


@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
def test_json_that_is_nested_too_deep_is_one_line_naming_the_file(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b'{"a":' + b"[" * 100_000 + b"\n")
    with pytest.raises(DataError, match=f"{name}: .* nested too deep"):
        list(readers.rows(path))


@pytest.mark.parametrize(("start", "length"), [(40, 8), (-30, 22)])
def test_a_damaged_parquet_file_is_one_line_naming_it(tmp_path: Path, start: int, length: int) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").table({"source": ["a", "b"] * 20})
    parquet.write_table(table, tmp_path / "t.parquet")
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    at = start % len(data)
    data[at : at + length] = b"\xff" * length
    path = write(tmp_path / "t.parquet", bytes(data))
    with pytest.raises(DataError, match=r"t\.parquet is not a readable Parquet file"):
        list(readers.rows(path))
