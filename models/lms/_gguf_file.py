"""What does a GGUF file hold? Its fields and where its tensors lie, each length held against the file's own.

The library's reader trusts every length, so that a damaged one makes it build lists without end.
Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from harness.api.errors import DataError

Array = np.ndarray[Any, Any]

VERSIONS = (2, 3)
STRING, LIST = 8, 9
# value type -> how one is stored, little-endian
STORED = {0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?", 10: "<u8", 11: "<i8", 12: "<f8"}
MOST_SIDES = 4


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor: its sizes (rows first, as numpy counts), its number type and its bytes."""

    sizes: tuple[int, ...]
    kind: int
    data: Array  # uint8, a view into the file

    def values(self) -> Array:
        """The numbers in float32; ValueError for a number type that the library does not read."""
        from gguf import GGMLQuantizationType, quant_shape_to_byte_shape
        from gguf.quants import dequantize

        kind = GGMLQuantizationType(self.kind)
        plain = {GGMLQuantizationType.F32: "<f4", GGMLQuantizationType.F16: "<f2"}
        try:
            if kind in plain:
                return self.data.view(plain[kind]).reshape(self.sizes).astype(np.float32)
            rows = self.data.reshape(quant_shape_to_byte_shape(self.sizes, kind))
            # a scale that is not finite makes weights that are not, which the network itself tells
            with np.errstate(all="ignore"):
                return np.asarray(dequantize(rows, kind), dtype=np.float32).reshape(self.sizes)
        except NotImplementedError as problem:
            raise ValueError(f"numbers of type {kind.name} are not read") from problem


@dataclass(frozen=True, slots=True)
class Gguf:
    """A whole file."""

    fields: dict[str, Any]
    tensors: dict[str, Stored]


def read_gguf(path: Path) -> Gguf:
    """The fields and tensors of a file; DataError when it is cut short or damaged."""
    try:
        data: Array = np.memmap(path, mode="r", dtype=np.uint8)
        head = _Head(data)
        fields, places = head.fields(), {}
        alignment = fields.get("general.alignment", 32)
        count = head.tensors
        for _ in range(count):
            name, place = head.tensor()
            places[name] = place
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
            raise ValueError(f"its alignment is {alignment!r}")
        start = math.ceil(head.place / alignment) * alignment
        return Gguf(fields, {name: _stored(data, start, name, place) for name, place in places.items()})
    except OSError as problem:
        raise DataError(f"{path} cannot be read ({problem.strerror}).") from problem
    except ValueError as problem:
        # an empty file, too: it cannot be mapped
        raise DataError(f"{path} is not a whole GGUF file ({problem}); fetch it again.") from problem


@dataclass(frozen=True, slots=True)
class _Place:
    sizes: tuple[int, ...]  # as stored: columns first
    kind: int
    offset: int


@final
class _Head:
    """Reads from the start of the file on; ValueError where a length goes beyond its end."""

    def __init__(self, data: Array) -> None:
        self._data, self.place = data, 0
        if bytes(self._bytes(4)) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        version = self._number(4)
        if version not in VERSIONS:
            raise ValueError(f"its version is {version}, and {' and '.join(map(str, VERSIONS))} are read")
        self.tensors, self._fields = self._number(8), self._number(8)
        # a field takes 13 bytes at least, a tensor 25: a count beyond that needs no look at the rest
        if 13 * self._fields + 25 * self.tensors > len(data):
            raise ValueError(f"it counts {self._fields} fields and {self.tensors} tensors in {len(data)} bytes")

    def fields(self) -> dict[str, Any]:
        return dict(self._field() for _ in range(self._fields))

    def tensor(self) -> tuple[str, _Place]:
        name, sides = self._text(), self._number(4)
        if not 1 <= sides <= MOST_SIDES:
            raise ValueError(f"tensor {name[:80]!r} has {sides} sides")
        sizes = tuple(self._number(8) for _ in range(sides))
        return name, _Place(sizes, self._number(4), self._number(8))

    def _field(self) -> tuple[str, Any]:
        return self._text(), self._value(self._number(4), inner=False)

    def _value(self, kind: int, *, inner: bool) -> Any:
        if kind == STRING:
            return self._text()
        if kind == LIST and not inner:
            item, count = self._number(4), self._number(8)
            if item in STORED:
                width = np.dtype(STORED[item]).itemsize
                return self._bytes(width * count).view(STORED[item]).tolist()
            if 8 * count > len(self._data):
                raise ValueError(f"a list counts {count} texts")
            return [self._value(item, inner=True) for _ in range(count)]
        if kind not in STORED:
            raise ValueError(f"a field has the type {kind}")
        return self._bytes(np.dtype(STORED[kind]).itemsize).view(STORED[kind])[0].item()

    def _text(self) -> str:
        return bytes(self._bytes(self._number(8))).decode("utf-8")

    def _number(self, width: int) -> int:
        return int(struct.unpack("<I" if width == 4 else "<Q", bytes(self._bytes(width)))[0])

    def _bytes(self, count: int) -> Array:
        end = self.place + count
        if end > len(self._data):
            raise ValueError(f"it is cut short: {end} bytes are needed and {len(self._data)} are there")
        part = self._data[self.place : end]
        self.place = end
        return part


def _stored(data: Array, start: int, name: str, place: _Place) -> Stored:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    if place.kind not in list(GGMLQuantizationType):
        raise ValueError(f"tensor {name[:80]!r} has numbers of the type {place.kind}")
    block, width = GGML_QUANT_SIZES[GGMLQuantizationType(place.kind)]
    if place.sizes[0] % block or min(place.sizes) < 1:
        raise ValueError(f"tensor {name[:80]!r} has the sizes {list(place.sizes)}")
    begin = start + place.offset
    end = begin + math.prod(place.sizes) // block * width
    if end > len(data):
        raise ValueError(f"it is cut short: {end} bytes are needed and {len(data)} are there")
    return Stored(tuple(reversed(place.sizes)), place.kind, data[begin:end])
