"""How does a response become a line of JSON and come back? Bit for bit, through one table of types.

Arrays travel as base64 of their bytes, floats that JSON lacks as {"$float": "nan"}; in text, lone surrogates and NUL
bytes are escaped. No type name in a file is ever imported: the table below is all that decodes.
"""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import DataError
from harness.api.types import Embedded, Failure, Forecasted, Generated, Labelled, Measured, Response, Scored

DEEPEST = 64  # lists and objects within each other
LARGEST = 2**63  # of a whole number, so that every one becomes a float and a column
MOST = 20_000_000  # numbers of one stored matrix: what fits a small machine
PLAIN_TYPE = re.compile(r"[<>|=]?[biufcSU]\d{1,6}")  # how NumPy names a type of numbers or texts

RESPONSES: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Generated, Scored, Embedded, Labelled, Forecasted, Measured, Failure)
}


def dumps(value: Any) -> str:
    """One line of ASCII JSON; equal values give equal bytes (keys keep their order)."""
    return json.dumps(pack(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def loads(text: str) -> Any:
    """The inverse of `dumps`, but for tuples, which come back as lists; raises DataError on text that is not JSON."""
    return unpack(parse(text))


def parse(text: str | bytes, *, constants: bool = False) -> Any:
    """JSON that anybody may have written, as it stands; `constants`: with NaN and Infinity as Python spells them.

    Errors: DataError when it is no JSON, deeper than `DEEPEST`, or holds a whole number beyond 64 bits.
    """
    try:
        found = json.loads(text, parse_constant=float if constants else _refused)
    except (ValueError, RecursionError) as problem:
        beginning = text[:60] if isinstance(text, str) else text[:60].decode("utf-8", "backslashreplace")
        raise DataError(f"this is not JSON ({problem}); it begins {beginning!r}.") from problem
    level = [found]
    for _ in range(DEEPEST):
        large = next((item for item in level if isinstance(item, int) and abs(item) >= LARGEST), None)
        if large is not None:
            raise DataError(f"a stored whole number has {large.bit_length()} bits, beyond the 63 that are read.")
        if not constants and any(isinstance(item, float) and math.isinf(item) for item in level):
            raise DataError("a stored number is larger than any that can be computed with.")
        level = [part for item in level if isinstance(item, (dict, list)) for part in _within(item)]
        if not level:
            return found
    raise DataError(f"stored JSON is more than {DEEPEST} levels deep.")


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
    """The inverse of `pack` for arrays and floats; raises DataError when one of them is not as `pack` writes it."""
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    try:
        if "$float" in value:
            return float(_text(value["$float"]))
        if "$array" in value:
            flat = np.frombuffer(base64.b64decode(_text(value["$array"])), dtype=_type(value["dtype"]))
            return flat.reshape(value["shape"]).copy()
    except (KeyError, TypeError, ValueError) as problem:
        raise DataError(f"a stored number or array cannot be read: {type(problem).__name__} {problem}.") from problem
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
    if not isinstance(stored, Mapping):
        raise DataError(f"a stored response should be an object, found {type(stored).__name__}.")
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
        rows, width = (int(size) for size in stored["shape"])
        if min(rows, width) < 0 or rows * width > MOST:
            raise ValueError(f"their shape is {rows} x {width}")
        # a few bytes can unfold to gigabytes: no more than the shape holds is looked at
        packed = zlib.decompressobj()
        raw = packed.decompress(base64.b64decode(stored["zlib"], validate=True), 8 * rows * width + 1)
        if not packed.eof:
            raise ValueError("they are cut short, or more than their shape holds")
        return np.frombuffer(raw, dtype="<f8").reshape(rows, width).astype(np.float64)
    except (KeyError, TypeError, ValueError, OverflowError, zlib.error) as problem:
        raise DataError(f"stored statistics cannot be read: {problem}.") from problem


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is not of JSON")


def _within(item: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return item.values() if isinstance(item, dict) else item


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"found {type(value).__name__} where text should stand")
    return value


def _type(name: Any) -> np.dtype[Any]:
    # NumPy evaluates some names, and an array of objects would hold addresses
    if PLAIN_TYPE.fullmatch(_text(name)) is None:
        raise ValueError(f"arrays of type {name[:20]!r} are not read")
    found: np.dtype[Any] = np.dtype(name)
    return found


def _is_default(item: Field[Any], value: Any) -> bool:
    if item.default_factory is not MISSING:
        return isinstance(value, Mapping) and not value
    return item.default is not MISSING and type(value) is type(item.default) and bool(value == item.default)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
