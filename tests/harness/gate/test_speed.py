"""Two sides side by side: workers, rounds and verdicts, on work that is known to be slower or broken."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.api.errors import HarnessError, UsageError
from harness.gate import sides
from harness.gate.sides import Side, Worker
from harness.gate.speed import SpeedRules, calibration, compare_speed

WORK = "def work():\n    return sum(number * number % 7 for number in range({steps}))\n"
QUICK = SpeedRules(margin=0.5, sample_seconds=0.002, blocks=2, rounds=30)


def side(folder: Path, name: str, source: str) -> Side:
    site = folder / name
    site.mkdir()
    (site / "planted.py").write_text(source, encoding="utf-8")
    return Side(name, site)


def kinds(folder: Path, reference: str, candidate: str, rules: SpeedRules = QUICK) -> list[str]:
    pair = side(folder, "reference", reference), side(folder, "candidate", candidate)
    return [verdict.kind for verdict in compare_speed(*pair, ["call:planted:work"], rules)]


def test_no_cell_gives_no_verdict(tmp_path):
    assert compare_speed(Side("reference", tmp_path), Side("candidate", tmp_path), [], QUICK) == []


def test_work_five_times_as_long_is_worse(tmp_path):
    assert kinds(tmp_path, WORK.format(steps=4000), WORK.format(steps=20000)) == ["worse"]


def test_four_cells_share_the_chance_of_a_wrong_bound_and_take_more_rounds_than_one(tmp_path):
    names = ("a", "b", "c", "d")
    sources = ["".join(WORK.format(steps=steps).replace("work", name) for name in names) for steps in (2000, 10000)]
    pair = side(tmp_path, "reference", sources[0]), side(tmp_path, "candidate", sources[1])
    cells = [f"call:planted:{name}" for name in names]
    # all n rounds above 0 rule it out once (2^(n+1) - 1) / (n + 1) >= 1 / error: 102 for 9 rounds, 630 for 12
    assert [verdict.count for verdict in compare_speed(*pair, cells[:1], QUICK)] == [9]
    assert [verdict.count for verdict in compare_speed(*pair, cells, QUICK)] == [12] * 4


def test_work_a_fifth_as_long_is_better(tmp_path):
    assert kinds(tmp_path, WORK.format(steps=20000), WORK.format(steps=4000)) == ["better"]


def test_no_time_left_is_undecided(tmp_path):
    rules = SpeedRules(seconds=1e-9)
    (kind,) = kinds(tmp_path, WORK.format(steps=10), WORK.format(steps=10), rules)
    assert kind == "undecided"


def test_work_that_the_candidate_cannot_do_is_an_error_with_its_reason(tmp_path):
    pair = side(tmp_path, "reference", WORK.format(steps=10)), side(tmp_path, "candidate", "def work():\n    1 / 0\n")
    (verdict,) = compare_speed(*pair, ["call:planted:work"], QUICK)
    assert verdict.kind == "error"
    assert "ZeroDivisionError" in verdict.reason


def test_work_that_breaks_after_a_while_is_an_error_of_its_cell_alone(tmp_path):
    source = "calls = []\ndef work():\n    calls.append(1)\n    assert len(calls) < 3, 'worn out'\n"
    source += WORK.format(steps=2000).replace("work", "sound")
    pair = side(tmp_path, "reference", source), side(tmp_path, "candidate", source)
    broken, sound = compare_speed(*pair, ["call:planted:work", "call:planted:sound"], replace(QUICK, rounds=3))
    assert broken.kind == "error"
    assert "worn out" in broken.reason
    assert sound.count > 0


def test_work_that_the_reference_cannot_do_is_new(tmp_path):
    assert kinds(tmp_path, "other = 1\n", WORK.format(steps=10)) == ["new"]


def test_an_unknown_kind_of_cell_is_an_error(tmp_path):
    pair = side(tmp_path, "reference", ""), side(tmp_path, "candidate", "")
    (verdict,) = compare_speed(*pair, ["colour:blue"], QUICK)
    assert verdict.kind == "error"
    assert "no kind of cell named 'colour'" in verdict.reason


def test_a_worker_that_ends_says_so(tmp_path):
    source = "import os\ndef work():\n    os._exit(7)\n"
    with Worker(side(tmp_path, "candidate", source)) as worker:
        worker.begin("call:planted:work", 1)
        assert worker.end() == "its process ended with status 7"


def test_what_the_work_prints_does_not_reach_the_answers(tmp_path):
    with Worker(
        side(tmp_path, "candidate", "import os\ndef work():\n    print('x')\n    os.write(1, b'y')\n")
    ) as worker:
        worker.begin("call:planted:work", 3)
        assert worker.end() == ""


def test_a_side_that_imports_another_copy_of_the_package_is_refused(tmp_path):
    empty = side(tmp_path, "candidate", "import harness\ndef work():\n    pass\n")
    with Worker(empty) as worker, pytest.raises(HarnessError, match="not its own copy"):
        worker.begin("call:planted:work", 1)
        worker.end()


def test_calibration_is_a_positive_time():
    assert 0 < calibration() < 10


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "src").mkdir(parents=True)
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "planted"\nversion = "1"\n[tool.setuptools]\npy-modules = ["planted"]\n',
        encoding="utf-8",
    )
    (root / "planted.py").write_text(WORK.format(steps=10), encoding="utf-8")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "one"]):
        subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)
    return root


def test_a_revision_and_a_changed_tree_are_installed_apart(checkout: Path, tmp_path: Path):
    pytest.importorskip("setuptools")
    (checkout / "planted.py").write_text(WORK.format(steps=99), encoding="utf-8")
    reference = sides.install_reference(checkout, "HEAD", tmp_path)
    candidate = sides.install_candidate(checkout, tmp_path)
    assert "range(10)" in (reference.site / "planted.py").read_text(encoding="utf-8")
    assert "range(99)" in (candidate.site / "planted.py").read_text(encoding="utf-8")
    assert len(reference.revision) == 40
    assert sorted(item.name for item in checkout.iterdir()) == [".git", "planted.py", "pyproject.toml", "src"]


def test_an_unknown_revision_is_one_line(checkout: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="no-such-branch"):
        sides.install_reference(checkout, "no-such-branch", tmp_path)
