"""How does a response become a line of JSON and come back? Bit for bit, through one table of types.

Arrays travel as base64 of their bytes, floats that JSON lacks as {"$float": "nan"}; in text, lone surrogates and NUL
bytes are escaped. No type name in a file is ever imported: the table below is all that decodes.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import DataError
from harness.api.types import Embedded, Failure, Forecasted, Generated, Labelled, Measured, Response, Scored

RESPONSES: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Generated, Scored, Embedded, Labelled, Forecasted, Measured, Failure)
}


def dumps(value: Any) -> str:
    """One line of ASCII JSON; equal values give equal bytes (keys keep their order)."""
    return json.dumps(pack(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def loads(text: str) -> Any:
    """The inverse of `dumps`, but for tuples, which come back as lists; raises DataError on text that is not JSON."""
    try:
        return unpack(json.loads(text))
    except (ValueError, KeyError, TypeError) as problem:
        raise DataError(f"stored JSON cannot be read ({problem}); the text begins {text[:60]!r}.") from problem


def pack(value: Any) -> Any:
    """A JSON-like value: arrays, numpy scalars, non-finite floats and dataclasses replaced."""
    if isinstance(value, float):  # np.float64 is one
        number = float(value)
        return number if math.isfinite(number) else {"$float": repr(number)}
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {"$array": data, "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return pack(value.item())
    if isinstance(value, Mapping):
        return {str(key): pack(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: pack(getattr(value, item.name)) for item in fields(value)}
    raise TypeError(f"a {type(value).__name__} cannot be stored as JSON")


def unpack(value: Any) -> Any:
    """The inverse of `pack` for arrays and floats."""
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$float" in value:
        return float(value["$float"])
    if "$array" in value:
        flat = np.frombuffer(base64.b64decode(value["$array"]), dtype=np.dtype(value["dtype"]))
        return flat.reshape(value["shape"]).copy()
    return {key: unpack(item) for key, item in value.items()}


def encode_response(response: Response) -> dict[str, Any]:
    """A response as JSON, with its type's name; fields at their defaults are left out."""
    return {"type": type(response).__name__} | {
        item.name: pack(getattr(response, item.name))
        for item in fields(response)
        if not _is_default(item, getattr(response, item.name))
    }


def decode_response(stored: Mapping[str, Any]) -> Response:
    """The inverse of `encode_response`; raises DataError on an unknown type or field."""
    values = {key: unpack(value) for key, value in stored.items() if key != "type"}
    kind = RESPONSES.get(str(stored.get("type")))
    try:
        if kind is None:
            raise KeyError("no such type")
        response: Response = kind(**{key: _tuples(value) for key, value in values.items()})
    except (KeyError, TypeError) as problem:
        raise DataError(f"a stored response of type {stored.get('type')!r} cannot be read: {problem}.") from problem
    return response


def pack_matrix(matrix: NDArray[np.float64]) -> dict[str, Any]:
    """A matrix [N, S] small enough for a record that people keep in git: compressed, exact."""
    raw = np.ascontiguousarray(matrix, dtype="<f8").tobytes()
    return {"zlib": base64.b64encode(zlib.compress(raw, 9)).decode("ascii"), "shape": list(matrix.shape)}


def unpack_matrix(stored: Mapping[str, Any]) -> NDArray[np.float64]:
    """The inverse of `pack_matrix`; raises DataError when the bytes do not fill the shape."""
    try:
        flat = np.frombuffer(zlib.decompress(base64.b64decode(stored["zlib"], validate=True)), dtype="<f8")
        return flat.reshape(stored["shape"]).astype(np.float64)
    except (KeyError, TypeError, ValueError, zlib.error) as problem:
        raise DataError(f"stored statistics cannot be read: {problem}.") from problem


def _is_default(item: Field[Any], value: Any) -> bool:
    if item.default_factory is not MISSING:
        return isinstance(value, Mapping) and not value
    return item.default is not MISSING and type(value) is type(item.default) and bool(value == item.default)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
