"""Student's quantile and the normal law without scipy: the numbers of tables and of scipy, and no import of scipy."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.special import ndtr, stdtrit

from harness.student import normal, student


@pytest.mark.parametrize(("degrees", "printed"), [(1, 12.706), (2, 4.303), (5, 2.571), (30, 2.042), (120, 1.980)])
def test_quantiles_are_those_of_printed_tables(degrees, printed):
    assert student(degrees) == pytest.approx(printed, abs=5e-4)


def test_quantiles_are_scipys_for_whole_and_broken_degrees():
    degrees = np.concatenate([np.linspace(1, 20, 77), np.geomspace(20, 1e9, 60), [999.999, 1000.0]])
    assert [student(one) for one in degrees] == pytest.approx(list(stdtrit(degrees, 0.975)), rel=1e-12)


def test_the_normal_law_is_scipys_far_into_its_tail():
    values = np.linspace(-30, 8, 200)
    assert [normal(one) for one in values] == pytest.approx(list(ndtr(values)), rel=1e-13)


def test_an_interval_imports_no_scipy():
    code = (
        "import sys, numpy as np; from harness.api import registry; from harness.stats import bounds;"
        "rng = np.random.default_rng(0);"
        "bounds(registry.create('metric', 'cer'), rng.integers(1, 9, (5, 2)).astype(float));"
        "bounds(registry.create('metric', 'pearson'), rng.normal(size=(9, 2)));"
        "print([name for name in sys.modules if name.startswith('scipy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
