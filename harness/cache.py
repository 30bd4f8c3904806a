"""Where downloaded data and weights are kept, and how a folder appears there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.api.errors import DataError
from harness.whole import part_beside


def cache_root() -> Path:
    """`HARNESS_CACHE`, else `seqharness` in the user's cache folder."""
    chosen = os.environ.get("HARNESS_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "seqharness"


def write_whole(path: Path, text: str) -> None:
    """Replace a small file atomically; a reader sees the old text or the new one."""
    handle, part = part_beside(path)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def folder_once(target: Path, build: Callable[[Path], None]) -> Path:
    """`target`, built by `build(folder)` if it is not there; two processes build it once, a killed one leaves nothing.

    `build` fills an empty scratch folder that is renamed into place. Scratch folders of killed processes are swept
    under the lock, so that they cannot pile up.
    """
    if target.is_dir():
        return target
    with _locked(target):
        if target.is_dir():
            return target
        for stale in target.parent.glob(f".{target.name}.part-*"):
            shutil.rmtree(stale)
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.part-"))
        try:
            build(scratch)
            scratch.chmod(0o755)
            os.replace(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.parent / f".{target.name}.lock")
        lock.acquire()
    except OSError as problem:
        raise DataError(
            f"the cache folder {target.parent} cannot be written ({problem.strerror}); "
            "set HARNESS_CACHE to a folder that can."
        ) from problem
    try:
        yield
    finally:
        lock.release()
