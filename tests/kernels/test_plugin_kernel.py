"""A kernel of another package is called, refused and tested like one of our own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness import parts
from harness.api import registry
from harness.api.errors import UsageError
from harness.kernels._dispatch import operation, ran

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = '''"""What a weighted sum over time is: y_BD = sum_t gate_BT x_BTD."""

from harness.api.errors import UsageError
from harness.api.registry import kernel
from harness.kernels._contract import Contract

import torch

CONTRACT = Contract(toy={"B": 3, "T": 5, "D": 7}, gate="gate_BT", time={"gate_BT": 1, "x_BTD": 1}, lengths=(1, 63))


@kernel(serves="nothing", paper="none")
def weigh(gate_BT, x_BTD):
    """The sum."""
    return (gate_BT[..., None] * x_BTD).sum(1)


def inputs(size, seed, case="plain"):
    """Random weights and values."""
    rng = torch.Generator().manual_seed(seed)
    size = {**CONTRACT.toy, **size}
    gate = torch.rand(size["B"], size["T"], generator=rng, dtype=torch.float64)
    return {"gate_BT": gate, "x_BTD": torch.randn(*gate.shape, size["D"], generator=rng, dtype=torch.float64)}


def check(gate_BT, x_BTD):
    """One line on bad input."""
    if gate_BT.ndim != 2 or gate_BT.shape != x_BTD.shape[:2]:
        raise UsageError(f"other/weighted_sum: gate is {tuple(gate_BT.shape)} but x is {tuple(x_BTD.shape)}.")
    if gate_BT.dtype != x_BTD.dtype or not gate_BT.is_floating_point():
        raise UsageError(f"other/weighted_sum: gate is {gate_BT.dtype} but x is {x_BTD.dtype}; cast one.")
'''
FAST = '''"""The same, by a product of matrices."""

import torch


def weigh(gate_BT, x_BTD):
    """The sum."""
    return torch.bmm(gate_BT[:, None], x_BTD)[:, 0]
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package with one kernel, whose function has another name than the kernel."""
    package, facts = tmp_path / "other_kernels" / "weighted", tmp_path / "other_kernels-1.0.dist-info"
    package.mkdir(parents=True)
    facts.mkdir()
    for file in (package / "__init__.py", package.parent / "__init__.py"):
        file.write_text('"""Kernels of another package."""\n')
    (package / "reference.py").write_text(REFERENCE)
    (package / "cpu.py").write_text(FAST)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: other-kernels\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[harness.kernels]\nother/weighted_sum = other_kernels.weighted.reference:weigh\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    parts.forget()
    yield tmp_path
    parts.forget()
    for name in [name for name in sys.modules if name.split(".")[0] == "other_kernels"]:
        del sys.modules[name]


def test_it_is_listed_and_called_by_every_path(plugin: Path) -> None:
    assert "other/weighted_sum" in registry.names("kernel")
    weighted_sum = operation("other/weighted_sum")
    assert weighted_sum.paths() == ("reference", "cpu")
    gate, x = torch.tensor([[1.0, 2.0]]), torch.tensor([[[3.0], [5.0]]])
    with ran() as paths:
        assert weighted_sum(gate, x).tolist() == [[13.0]]
        assert weighted_sum(gate, x, path="reference").tolist() == [[13.0]]
    assert paths == {"other/weighted_sum": {"cpu", "reference"}}


def test_it_refuses_like_our_own(plugin: Path) -> None:
    weighted_sum = operation("other/weighted_sum")
    with pytest.raises(UsageError, match=r"gate is \(1, 2\) but x is \(1, 3, 1\)"):
        weighted_sum(torch.ones(1, 2), torch.ones(1, 3, 1))
    with pytest.raises(UsageError, match="no gpu path; its paths: reference, cpu"):
        weighted_sum(torch.ones(1, 2), torch.ones(1, 2, 1).requires_grad_(), path="gpu")


def test_the_contract_tests_take_it_in_and_one_without_a_contract_fails_its_own_test_alone(plugin: Path) -> None:
    bare = plugin / "other_kernels" / "bare"
    bare.mkdir()
    (bare / "__init__.py").write_text('"""A kernel without a contract."""\n')
    (bare / "reference.py").write_text(REFERENCE.replace("CONTRACT", "FACTS"))
    with open(plugin / "other_kernels-1.0.dist-info" / "entry_points.txt", "a") as handle:
        handle.write("other/bare = other_kernels.bare.reference:weigh\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/contract/test_kernels.py", "-k", "other/"],
        env=os.environ | {"PYTHONPATH": str(plugin)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    # where CI is set, pytest says the reason behind a dash
    failed = [line.split(" - ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert failed == [
        "FAILED tests/contract/test_kernels.py::test_a_reference_states_its_contract_and_makes_its_inputs[other/bare]"
    ]
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) == 14
