"""README's example is a file that runs, and that passes what README says it is tested by."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ECHO = Path(__file__).with_name("echo.py")


def test_readmes_task_is_the_tested_file() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert ECHO.read_text(encoding="utf-8") in blocks


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The example as another package would bring it."""
    shutil.copy(ECHO, tmp_path / "echo_task.py")
    facts = tmp_path / "echo_task-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: echo-task\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[harness.tasks]\nrecall/echo = echo_task:Echo\n")
    return tmp_path


def test_the_task_passes_the_contract_of_tasks(installed: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/contract/test_tasks.py"]
    done = subprocess.run(
        [*command, "-k", "recall/echo"],
        env=os.environ | {"PYTHONPATH": str(installed)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    # no oracle, no guess and no split for validation; everything else is checked
    assert re.findall(r"(\d+) passed, (\d+) skipped", done.stdout) == [("11", "3")]


def test_the_task_is_run_by_its_name(installed: Path) -> None:
    line = ["run", "--task", "recall/echo:size=4", "--model", "keyboard/identity", "--out", str(installed / "runs")]
    done = subprocess.run(
        [sys.executable, "-m", "harness", *line],
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"recall/echo:size=4 +keyboard/identity +exact_match ↑ +1 ", done.stdout)


@pytest.mark.skipif(shutil.which("ruff") is None, reason="ruff comes with the extra [dev]")
def test_the_task_passes_the_linter_where_readme_saves_it() -> None:
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run(
            ["ruff", *check, "--stdin-filename", "tasks/recall/echo.py", "-"],
            input=ECHO.read_text(encoding="utf-8"),
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
