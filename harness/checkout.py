"""To which commit do the sources that ran belong? To that of the start, as long as each file that was read is its own.

HEAD may move and files may change while a run goes on, so neither is asked at the end: the commit and the digests of
its files are taken once, and every source is compared by the bytes that were read.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # a checkout's, where the package lies in one
ROOMS = ("harness", "tasks", "models", "kernels")
CHANGES = "+changes"


@dataclass(frozen=True, slots=True)
class Start:
    """The checkout as it was when it was first asked for."""

    root: Path
    commit: str  # empty outside a checkout
    files: Mapping[str, str]  # path below the root -> git's digest of the commit's file
    imported: frozenset[Path]  # sources of ours that were loaded by then
    changed: bool  # whether one of them differed from the commit


def commit(read: Mapping[Path, bytes] | None = None, root: Path = ROOT) -> str:
    """The commit of the start, with "+changes" when a source differs from it; empty outside a checkout.

    `read` holds the files of the run's parts as they were read; one that is another file by now counts as changed,
    since it may have been imported after that. Files of other packages are compared with themselves alone.
    """
    start = begin(root)
    if not start.commit:
        return ""
    late = {file: file.read_bytes() for file in _imported(start.root) - start.imported if file.is_file()}
    moved = any(not file.is_file() or file.read_bytes() != source for file, source in (read or {}).items())
    changed = start.changed or moved or _differ(start.root, start.files, {**late, **(read or {})})
    return start.commit + (CHANGES if changed else "")


@cache
def begin(root: Path = ROOT) -> Start:
    """Take the commit down; the first call counts, and should come before the first source of a run is read."""
    imported = _imported(root)
    if not (root / ".git").exists():
        return Start(root, "", {}, imported, changed=False)
    try:
        head = _git(root, "rev-parse", "HEAD").strip()
        listed = _git(root, "ls-tree", "-r", "-z", head, "--", *ROOMS)
    except (OSError, subprocess.SubprocessError):
        # no git, or not a repository that it can read
        return Start(root, "", {}, imported, changed=False)
    files = {path: facts.split()[2] for facts, _, path in (line.partition("\t") for line in listed.split("\0") if line)}
    now = {file: file.read_bytes() for file in imported if file.is_file()}
    return Start(root, head, files, imported, _differ(root, files, now))


def _differ(root: Path, files: Mapping[str, str], sources: Mapping[Path, bytes]) -> bool:
    ours = [(file, source) for file, source in sources.items() if file.is_relative_to(root)]
    return any(files.get(file.relative_to(root).as_posix()) not in _digests(source) for file, source in ours)


def _digests(source: bytes) -> tuple[str, str]:
    """Git's name for a file of this content, in either of its formats."""
    whole = b"blob %d\0" % len(source) + source
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest(), hashlib.sha256(whole).hexdigest()


def _imported(root: Path) -> frozenset[Path]:
    loaded = [module.__spec__ for name, module in list(sys.modules.items()) if name.partition(".")[0] == "harness"]
    files = [Path(spec.origin) for spec in loaded if spec is not None and spec.origin and spec.origin.endswith(".py")]
    return frozenset(file for file in files if file.is_relative_to(root))


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True, timeout=10)
    return done.stdout.decode("utf-8", "surrogateescape")
