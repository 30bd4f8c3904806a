"""What does a JSON file of a model folder hold? An object, or one line that says what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.api.errors import DataError


def read_object(path: Path, *, required: bool) -> dict[str, Any]:
    """The file's object; empty when an optional file is absent.

    Errors: DataError when a required file is missing, or when it holds no JSON object.
    """
    if not path.is_file():
        if required:
            raise DataError(f"{path.parent} is no model folder: it has no {path.name}.")
        return {}
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        # ValueError: no JSON, no UTF-8, or a number of more digits than Python reads
        raise DataError(f"{path} is not valid JSON ({problem}); fetch the model again.") from problem
    if not isinstance(loaded, dict):
        raise DataError(f"{path} holds a JSON {type(loaded).__name__} where an object was asked for.")
    return loaded
