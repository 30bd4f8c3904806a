"""What no correction at all reaches: the text as it was typed."""

from __future__ import annotations

from collections.abc import Mapping

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.keyboard._corrector import Corrector


@model(doors=("generate",), paper="none", licence="Apache-2.0", decodes=False, differs="none")
class Identity:
    """Returns the source unchanged: the baseline that every corrector must beat.

    Differs from the paper: none.
    """

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Nothing to identify but the rule."""
        return {"rule": "identity"}

    def load(self, setting: Setting) -> Corrector:
        """Nothing to load."""
        return Corrector(lambda text: text, {"parameters": 0})
