"""How are two revisions put side by side? Each is installed apart, and works in processes of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.api.errors import HarnessError, UsageError
from harness.timing import clock

WORKER = Path(__file__).with_name("worker.py")
INSTALL_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Side:
    """One revision, installed in a folder."""

    name: str  # "reference" or "candidate"
    site: Path  # what goes first on the path
    revision: str = ""


class Worker:
    """A process with one side's packages; use as a context manager."""

    def __init__(self, side: Side) -> None:
        self.side = side
        environment = {**os.environ, "PYTHONPATH": str(side.site), "HARNESS_OFFLINE": "1"}
        # the same random layout of hashes on neither side: each process draws its own, as users' processes do
        environment.pop("PYTHONHASHSEED", None)
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=side.site,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def begin(self, cell: str, times: int) -> None:
        """Ask for the work to be done `times` times; the first time it is asked for, it is prepared too."""
        assert self._process.stdin is not None
        # a process that has ended says so when its answer is read
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"cell": cell, "times": times}) + "\n")
            self._process.stdin.flush()

    def end(self) -> str:
        """Wait for the answer to `begin`: an error's text, or empty."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return f"its process ended with status {self._process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        found = answer.get("origin", "")
        if found and not Path(found).is_relative_to(self.side.site.resolve()):
            raise HarnessError(f"the {self.side.name} side imported {found}, not its own copy in {self.side.site}.")
        return "" if answer["ok"] else str(answer["error"])

    def seconds(self, cell: str, times: int) -> float:
        """Wall time of doing the work `times` times."""
        start = clock()
        self.begin(cell, times)
        problem = self.end()
        elapsed = clock() - start
        if problem:
            raise HarnessError(f"speed of {cell} on the {self.side.name} side: {problem}")
        return elapsed


def install_reference(root: Path, revision: str, folder: Path) -> Side:
    """A revision of the repository at `root`, unpacked and installed below `folder`; the repository is not touched.

    Errors: UsageError when git does not know the revision, HarnessError when it cannot be installed.
    """
    commit = _git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    tree = folder / "reference-tree"
    with tarfile.open(fileobj=io.BytesIO(_git(root, "archive", "--format=tar", commit))) as archive:
        if hasattr(tarfile, "data_filter"):  # from Python 3.11.4 on; what git packed is as safe without it
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tree)
    return Side("reference", _install(tree, folder / "reference"), commit)


def install_candidate(root: Path, folder: Path) -> Side:
    """The working tree at `root`, changes and new files included, installed as the reference is."""
    tree = folder / "candidate-tree"
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0")
    for name in listed:
        if name and (root / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, tree / name)
    head = _git(root, "rev-parse", "HEAD").decode().strip()
    return Side("candidate", _install(tree, folder / "candidate"), head)


def repository() -> Path:
    """The checkout that this package runs from, or the one around the working directory."""
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / ".git").exists() and (folder / "pyproject.toml").is_file():
                return folder
    raise UsageError("--against needs a git checkout of the project; change into one.")


def _install(tree: Path, site: Path) -> Path:
    # both sides are installed alike, so that neither pays for an editable install's import hooks
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    try:
        done = subprocess.run(
            [*command, "--no-index", "--target", str(site), str(tree)],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise HarnessError(f"cannot install {tree.name}: {problem}.") from problem
    if done.returncode:
        last = (done.stderr.strip() or "pip gave no reason").splitlines()[-1]
        raise HarnessError(f"cannot install {tree.name} (pip and setuptools are needed): {last}")
    return site.resolve()


def _git(root: Path, *arguments: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True).stdout
    except FileNotFoundError as problem:
        raise UsageError("--against needs git, which is not installed.") from problem
    except subprocess.CalledProcessError as problem:
        reason = problem.stderr.decode(errors="replace").strip() or "git does not know it"
        raise UsageError(f"git {' '.join(arguments[:1])} {arguments[-1]!r} failed in {root}: {reason}.") from problem
