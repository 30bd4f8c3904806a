"""The commit of a result is that of the sources that ran, whatever HEAD or the files became meanwhile."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from harness import checkout, environment, parts
from harness.checkout import begin, commit


def git(root: Path, *arguments: str) -> str:
    line = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A repository with a module, a data file beside it and a page; nothing of it is imported."""
    begin.cache_clear()
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "one.py").write_text("X = 1\n")
    (tmp_path / "tasks" / "words.txt").write_text("words\n")
    (tmp_path / "README.md").write_text("page\n")
    git(tmp_path, "init", "-q")
    commit_all(tmp_path)
    yield tmp_path
    begin.cache_clear()


def commit_all(root: Path) -> str:
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    return git(root, "rev-parse", "HEAD")


def read(root: Path, *names: str) -> dict[Path, bytes]:
    return {root / "tasks" / name: (root / "tasks" / name).read_bytes() for name in names or ("one.py", "words.txt")}


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path) -> None:
    assert commit({}, tmp_path / "nowhere") == ""


def test_sources_as_committed_have_the_commit_and_pages_do_not_count(root: Path) -> None:
    (root / "README.md").write_text("another page\n")
    (root / "tasks" / "unread.py").write_text("Y = 1\n")
    assert commit(read(root), root) == git(root, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["one.py", "words.txt", "new.py"])
def test_a_source_that_the_commit_does_not_hold_is_a_change(root: Path, name: str) -> None:
    (root / "tasks" / name).write_text("other\n")
    assert commit(read(root, name), root) == git(root, "rev-parse", "HEAD") + "+changes"


def test_a_head_that_moves_during_the_run_is_not_the_runs_commit(root: Path) -> None:
    begun = begin(root).commit
    found = read(root)
    (root / "README.md").write_text("another page\n")
    moved = commit_all(root)
    assert commit(found, root) == begun != moved


def test_a_source_that_changes_during_the_run_is_a_change_even_when_it_is_committed(root: Path) -> None:
    begun, found = begin(root).commit, read(root)
    (root / "tasks" / "one.py").write_text("X = 2\n")
    assert commit(found, root) == begun + "+changes"
    commit_all(root)
    assert commit(found, root) == begun + "+changes"
    # the file that a later cell reads belongs to the later commit
    assert commit(read(root), root) == begun + "+changes"


def test_a_source_that_was_changed_and_committed_between_start_and_reading_is_a_change(root: Path) -> None:
    begun = begin(root).commit
    (root / "tasks" / "one.py").write_text("X = 2\n")
    commit_all(root)
    assert commit(read(root), root) == begun + "+changes"


def test_what_is_imported_counts_as_it_was_at_its_import(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = ModuleType("harness.loaded")
    loaded.__spec__ = importlib.util.spec_from_file_location("harness.loaded", root / "tasks/one.py")
    monkeypatch.setitem(sys.modules, "harness.loaded", loaded)
    begun = begin(root).commit
    (root / "tasks" / "one.py").write_text("X = 2\n")
    # it was loaded before, so that what its file became does not matter
    assert commit({}, root) == begun
    begin.cache_clear()
    assert commit({}, root) == begun + "+changes"


def test_this_checkout_names_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (checkout.ROOT / ".git").exists():
        pytest.skip("no checkout")
    found = environment.describe(read=parts.files([parts.resolve("metric", "cer")]))["commit"]
    assert found.removesuffix("+changes") == git(checkout.ROOT, "rev-parse", "HEAD")
