"""What is installed is what is in the tree: every source and data file, and plug-ins by one entry point each."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("harness", "tasks", "models", "kernels")
DATA_ENDINGS = {".json", ".jsonl", ".tsv", ".txt", ".html", ".css", ".js", ".j2", ".typed", ".svg", ".gz"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the files that git would give (or from the tree, outside a checkout)."""
    tree = tmp_path_factory.mktemp("tree")
    for room in ROOMS:
        for file in (ROOT / room).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                copy = tree / file.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        (tree / name).write_bytes((ROOT / name).read_bytes())
    out = tmp_path_factory.mktemp("out")
    code = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_every_source_and_data_file_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        inside = set(opened.namelist())
    expected = set()
    for room in ROOMS:
        for file in (ROOT / room).rglob("*"):
            # a README is for readers of the repository
            if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".md":
                assert file.suffix == ".py" or file.suffix in DATA_ENDINGS, (
                    f"{file} has an ending that no wheel carries"
                )
                path = file.relative_to(ROOT).as_posix()
                expected.add(path if room == "harness" else f"harness/{path}")
    assert expected - inside == set()
    top = {name.split("/")[0] for name in inside}
    assert {name for name in top if not name.endswith(".dist-info")} == {"harness"}


def test_the_wheel_carries_types_licence_and_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        entry_points = opened.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert "harness/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "harness = harness.cli:main" in entry_points


def test_the_wheel_runs_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path)
    code = "import harness.cli, sys; sys.exit(harness.cli.main(['list', '--json']))"
    # -P and an own working folder: nothing of the checkout is on the path but what is named here
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"exact_match"' in done.stdout


PLUGIN = '''"""double/last: repeats the last letter."""
from harness.api.registry import task


@task(version=1, doors=("generate",), paper="none", licence="MIT", differs="none")
class Last:
    """A task that came from another package."""

    repeats: int = 2
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A folder that looks as if pip had installed a package with one plug-in task into it."""
    (tmp_path / "their_package.py").write_text(PLUGIN)
    facts = tmp_path / "their_package-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[harness.tasks]\ndouble/last = their_package:Last\n")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys; from harness.cli import main; code = main({list(arguments)!r}); "
        "assert 'their_package' not in sys.modules; sys.exit(code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, "-c", code], env=environment, cwd=folder, capture_output=True, text=True)


def test_a_plug_in_is_listed_and_shown_without_being_imported(plugin: Path) -> None:
    listed = run(plugin, "list", "tasks")
    assert listed.returncode == 0, listed.stderr
    assert "double/last" in listed.stdout
    assert "A task that came from another package." in listed.stdout


def test_a_plug_in_is_created_by_its_name(plugin: Path) -> None:
    code = "from harness.api import registry; print(registry.create('task', 'last:repeats=3').repeats)"
    environment = {**os.environ, "PYTHONPATH": str(plugin)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=plugin, capture_output=True, text=True)
    assert done.stdout == "3\n", done.stderr


def test_a_plug_in_that_wants_a_taken_name_is_refused_in_one_line(plugin: Path) -> None:
    (plugin / "their_package-1.0.dist-info" / "entry_points.txt").write_text(
        "[harness.metrics]\nexact_match = their_package:Last\n"
    )
    done = run(plugin, "list", "metrics")
    assert done.returncode == 2
    assert "wants the taken metric name 'exact_match'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_plug_in_whose_module_is_gone_is_shown_as_broken(plugin: Path) -> None:
    (plugin / "their_package.py").unlink()
    done = run(plugin, "list", "tasks")
    assert done.returncode == 1
    assert "double/last" in done.stdout
    assert "BROKEN" in done.stdout


def test_extras_name_only_what_the_code_can_use() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"gpu", "dev", "parity"} <= set(project["optional-dependencies"])
