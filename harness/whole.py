"""How does a file appear whole or not at all? Through a hidden part beside it, which is swept if its writer was killed.

A writer fills a hidden `.part` file that carries the name of its machine and its process; then that takes the file's
place. Whoever writes in the folder next sweeps away the parts of processes that are gone.
"""

from __future__ import annotations

import os
import platform
import re
import tempfile
from pathlib import Path

SUFFIX = ".part"


def part_beside(file: Path) -> tuple[int, Path]:
    """An open handle on a new hidden file in `file`'s folder, and its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # a file system's names end at 255 bytes: the beginning of this one is enough for people
    prefix = f".{file.name[:40]}.{_machine()}-{os.getpid()}-"
    handle, part = tempfile.mkstemp(dir=file.parent, prefix=prefix, suffix=SUFFIX)
    return handle, Path(part)


def sweep(folder: Path, *, deep: bool = False) -> None:
    """Take away the parts in a folder, `deep`: and below it, whose writers ran on this machine and are gone."""
    found = re.compile(rf"\..*\.{re.escape(_machine())}-(?P<process>\d+)-\w+{re.escape(SUFFIX)}", re.DOTALL)
    for file in (folder.rglob if deep else folder.glob)(f".*{SUFFIX}"):
        named = found.fullmatch(file.name)
        if named is not None and not _runs(int(named["process"])):
            # another sweeper may have been faster
            file.unlink(missing_ok=True)


def _machine() -> str:
    return re.sub(r"\W", "_", platform.node())[:32] or "machine"


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        # somebody else's, or no number that a process can have
        return True
    return True
