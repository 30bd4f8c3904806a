"""How is an input damaged? Bytes and JSON values, by a seeded generator, so that a failure can be made again.

    rng = Random(seed)
    damaged_bytes(path.read_bytes(), rng)
    damaged_json(json.loads(text), rng)

A reader that is given either must answer or raise its own one-line error: no traceback, no hang, no other exception.
"""

from __future__ import annotations

import copy
from random import Random
from typing import Any

# what hurts readers: no size, beyond a word, beyond a float, no number
NUMBERS: tuple[int | float, ...] = (
    *(0, -1, 1, 10**9, -(10**9), 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e-320, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf")),
)
TEXTS = (
    "",
    " ",
    "\x00",
    "\ud800",
    "a\udfffb",
    "\ufffd",
    "\u202e",
    "0",
    "-1",
    "true",
    "null",
    "../../x",
    "{{ x }}",
    "a" * 70_000,
)
DEEP = 300  # levels of a nest; json.dumps itself gives up near 1,000, `damaged_bytes` nests deeper

Place = tuple[Any, Any]  # a container and the key or index of one of its values


def damaged_bytes(data: bytes, rng: Random) -> bytes:
    """One to four wounds: bits flipped, bytes cut off, dropped, doubled, overwritten, or a nest of 100,000 brackets."""
    for _ in range(rng.randint(1, 4)):
        data = rng.choice(BYTE_WOUNDS)(data, rng)
    return data


def damaged_json(value: object, rng: Random) -> object:
    """A copy with one to three wounds: a value retyped, extreme, deeply nested or a lone surrogate; a key dropped,
    doubled under a damaged name, or swapped with another. The value may also be replaced as a whole.

    The result can be written by `json.dumps(result)`, with NaN and infinities as Python spells them.
    """
    box = [copy.deepcopy(value)]
    for _ in range(rng.randint(1, 3)):
        if not box:
            break  # the whole value was dropped
        container, key = rng.choice(_places(box))
        rng.choice(JSON_WOUNDS)(container, key, rng)
    return box[0] if box else None


def junk(rng: Random, depth: int = 2) -> object:
    """A value of a random type, extremes among them."""
    kind = rng.randrange(8 if depth else 6)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind < 3:
        return rng.choice(NUMBERS)
    if kind < 5:
        return rng.choice(TEXTS)
    if kind == 5:
        return rng.randint(-(2**40), 2**40)
    if kind == 6:
        return [junk(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(TEXTS): junk(rng, depth - 1) for _ in range(rng.randrange(4))}


def nest(rng: Random, depth: int = DEEP) -> object:
    """Lists in lists, or objects in objects."""
    inner: object = None
    for _ in range(depth):
        inner = [inner] if rng.random() < 0.5 else {"a": inner}
    return inner


def _places(box: list[object]) -> list[Place]:
    """Every value below (and in) the box, by its container and key."""
    found: list[Place] = []
    waiting: list[Any] = [box]
    while waiting:
        container = waiting.pop()
        for key in range(len(container)) if isinstance(container, list) else list(container):
            found.append((container, key))
            if isinstance(container[key], dict | list):
                waiting.append(container[key])
    return found


def _retype(container: Any, key: Any, rng: Random) -> None:
    container[key] = junk(rng)


def _extreme(container: Any, key: Any, rng: Random) -> None:
    container[key] = rng.choice(NUMBERS)


def _as_text(container: Any, key: Any, rng: Random) -> None:
    container[key] = rng.choice((*TEXTS, str(container[key])[:1000]))


def _wrap(container: Any, key: Any, rng: Random) -> None:
    container[key] = rng.choice(([container[key]], {"a": container[key]}, [container[key]] * 3))


def _nested(container: Any, key: Any, rng: Random) -> None:
    container[key] = nest(rng)


def _drop(container: Any, key: Any, rng: Random) -> None:
    del container[key]


def _double(container: Any, key: Any, rng: Random) -> None:
    if isinstance(container, list):
        container.insert(key, copy.deepcopy(container[key]))
    else:
        container[rng.choice((*TEXTS, f"{key} ", str(key).upper()))] = copy.deepcopy(container[key])


def _swap(container: Any, key: Any, rng: Random) -> None:
    other = rng.choice(list(range(len(container)) if isinstance(container, list) else container))
    container[key], container[other] = container[other], container[key]


def _flip(data: bytes, rng: Random) -> bytes:
    wounded = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 32))):
        if wounded:
            wounded[rng.randrange(len(wounded))] ^= 1 << rng.randrange(8)
    return bytes(wounded)


def _truncate(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _cut_out(data: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 8, 100)) :]


def _repeat(data: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    end = start + rng.choice((1, 8, 100))
    return data[:end] + data[start:]


def _overwrite(data: bytes, rng: Random) -> bytes:
    start, count = rng.randrange(len(data) + 1), rng.choice((1, 4, 8))
    fill = rng.choice((b"\x00", b"\xff", b"\x7f", bytes([rng.randrange(256)])))
    return data[:start] + fill * count + data[start + count :]


def _insert(data: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    given = rng.choice(
        (b"NaN", b"1e999", b"9" * 5000, b'"\\ud800"', b"\xff\xfe", b"\x00", b"[" * 100_000, b'{"a":' * 20_000)
    )
    return data[:start] + given + data[start:]


BYTE_WOUNDS = (_flip, _flip, _truncate, _cut_out, _repeat, _overwrite, _insert)
JSON_WOUNDS = (_retype, _retype, _extreme, _extreme, _as_text, _wrap, _nested, _drop, _drop, _double, _swap)
