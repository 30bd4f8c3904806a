"""Damaged notes in the cache: a digest is computed anew, a pin is one line. Never a wrong digest, never a traceback."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random

import pytest
from damage import damaged_bytes, damaged_json

from harness import digests, hub
from harness.api.errors import DataError
from harness.api.types import HubData


def damaged(value: object, seed: int) -> bytes:
    text = json.dumps(damaged_json(value, Random(seed))).encode()
    return text if seed % 2 else damaged_bytes(json.dumps(value).encode(), Random(seed))


@pytest.mark.parametrize("rounds", [range(50), pytest.param(range(50, 2050), marks=pytest.mark.slow)], ids=len)
def test_a_damaged_memory_of_digests_never_gives_a_wrong_one(tmp_path: Path, own_cache: Path, rounds: range) -> None:
    file = tmp_path / "data.bin"
    file.write_bytes(b"numbers")
    right = hashlib.sha256(b"numbers").hexdigest()
    whole = {str(file): [7, file.stat().st_mtime_ns, right], "/other": [1, 2, "3"]}
    for seed in rounds:
        (own_cache / "digests.json").write_bytes(damaged(whole, seed))
        found = digests.sha256(file)
        # a flipped digit of the digest itself cannot be told from another file's
        assert found == right or digests.SHA256.fullmatch(found)
        assert found == right or found in (own_cache / "digests.json").read_text("utf-8", "replace")


@pytest.mark.parametrize("rounds", [range(50), pytest.param(range(50, 2050), marks=pytest.mark.slow)], ids=len)
def test_damaged_pins_are_one_line(own_cache: Path, rounds: range) -> None:
    said = []
    for seed in rounds:
        (own_cache / "hub-pins.json").write_bytes(damaged({"a/b": "c0ffee", "c/d": "decaf"}, seed))
        try:
            said.append(hub.pin(HubData("a/b", {"test": "test"})) or "")
        except DataError as problem:
            said.append(str(problem))
    assert all("delete it to pin" in line for line in said if "hub-pins" in line)
    assert sum("hub-pins" in line for line in said) > len(rounds) // 4
