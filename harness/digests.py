"""What a file's sha256 is, without reading a large file again on every run."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from harness.api.errors import DataError
from harness.cache import cache_root, write_whole

SHA256 = re.compile("[0-9a-f]{64}")


def sha256(path: Path) -> str:
    """Hex digest of the file's bytes, remembered by (path, size, modification time)."""
    path = path.resolve()
    facts = path.stat()
    stamp = [facts.st_size, facts.st_mtime_ns]
    known = _remembered()
    entry = known.get(str(path))
    if isinstance(entry, list) and entry[:2] == stamp and len(entry) == 3 and SHA256.fullmatch(str(entry[2])):
        return str(entry[2])
    digest = compute(path)
    _remember(str(path), [*stamp, digest])
    return digest


def compute(path: Path) -> str:
    """Hex digest of the file's bytes, read now."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def require(path: Path, wanted: str, owner: str, remedy: str) -> str:
    """The file's digest, which must be `wanted` (an empty pin accepts any); DataError in one line otherwise."""
    found = sha256(path)
    if wanted and found != wanted:
        raise DataError(
            f"{owner}: {path} is damaged or another version: "
            f"its sha256 is {found[:16]}..., {wanted[:16]}... is pinned. {remedy}"
        )
    return found


def _store() -> Path:
    return cache_root() / "digests.json"


def _remembered() -> dict[str, list[int | str]]:
    try:
        known = json.loads(_store().read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError, RecursionError):
        # a missing or torn memory costs one more hashing, never a wrong digest
        return {}
    return known if isinstance(known, dict) else {}


def _remember(path: str, entry: list[int | str]) -> None:
    try:
        write_whole(_store(), json.dumps({**_remembered(), path: entry}))
    except OSError:
        # a read-only cache slows the next run down and changes nothing else
        return
