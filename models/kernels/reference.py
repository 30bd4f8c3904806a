"""How fast the reference path of an operation is."""

from __future__ import annotations

from collections.abc import Mapping

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.kernels._stopwatch import Stopwatch, fingerprint


@model(doors=("measure",), paper="none", licence="Apache-2.0", differs="none")
class Reference:
    """The definition of each operation, one step at a time: what every other path is compared with.

    Differs from the paper: none.
    """

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The kernels' sources."""
        return fingerprint()

    def load(self, setting: Setting) -> Stopwatch:
        """Nothing to load."""
        return Stopwatch("reference", setting)
