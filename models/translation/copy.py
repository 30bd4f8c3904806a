"""What no translation at all reaches: the source itself."""

from __future__ import annotations

from collections.abc import Mapping

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.keyboard._corrector import Corrector


@model(doors=("generate",), paper="none", licence="Apache-2.0", decodes=False, differs="none")
class Copy:
    """Returns the source unchanged: names, numbers and marks are all that it gets right.

    Differs from the paper: none.
    """

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Nothing to identify but the rule."""
        return {"rule": "copy"}

    def load(self, setting: Setting) -> Corrector:
        """Nothing to load."""
        return Corrector(lambda text: text, {"parameters": 0})
