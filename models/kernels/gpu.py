"""How fast the gpu path of an operation is."""

from __future__ import annotations

from collections.abc import Mapping

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.kernels._stopwatch import Stopwatch, fingerprint


@model(doors=("measure",), paper="none", licence="Apache-2.0", differs="none")
class Gpu:
    """The Triton path of each operation; on a CPU only under Triton's interpreter, which says nothing of its speed.

    Differs from the paper: none.
    """

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The kernels' sources."""
        return fingerprint()

    def load(self, setting: Setting) -> Stopwatch:
        """Nothing to load."""
        return Stopwatch("gpu", setting)
