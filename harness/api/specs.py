"""How is one object with its parameters written as text, and read again? As `name:parameter=value,other=(a:b=1)`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.api import secrets
from harness.api.errors import UsageError

# a value in quotes, and what a spec is split by: quotes count after an equals sign alone, so that "it's" is a word
QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""", re.DOTALL)
SIGN = re.compile(rf"(?<==)\s*(?:{QUOTED.pattern})|.", re.DOTALL)


def parse(spec: str) -> tuple[str, dict[str, str]]:
    """Split `name:key=value,key=(nested:spec=1),key='any, text'` into the name and its raw parameters.

    Within quotes every sign stands for itself, a doubled quote for one. A value that holds a secret is refused, and
    not repeated: specs name results, folders and records.
    """
    name, colon, rest = spec.strip().partition(":")
    shown = secrets.masked(spec)
    parameters: dict[str, str] = {}
    if colon and not rest:
        raise UsageError(f"{shown!r} ends with a colon; write name:parameter=value.")
    for part in _split(rest) if rest else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key.isidentifier():
            advice = "; a value that holds a comma stands in quotes or parentheses" if parameters else ""
            raise UsageError(f"{secrets.masked(part)!r} in {shown!r} is not parameter=value{advice}.")
        if key in parameters:
            raise UsageError(f"{shown!r} gives {key} twice.")
        secret = secrets.found(value)
        if secret:
            raise UsageError(
                f"{name.strip()}: {key}= holds {secret}, which would be written into results. It is not used: "
                "keep secrets in environment variables."
            )
        parameters[key] = _unquoted(value)
    return name.strip(), parameters


def split_specs(text: str) -> list[str]:
    """Split a comma-separated list of specs; a comma before `key=` belongs to the spec on its left."""
    specs: list[str] = []
    for part in _split(text):
        if specs and ":" in specs[-1] and re.match(r"\s*[A-Za-z_]\w*=", part):
            specs[-1] += "," + part
        else:
            specs.append(part)
    cleaned = [spec.strip() for spec in specs]
    if not cleaned or not all(cleaned):
        raise UsageError(f"{secrets.masked(text)!r} holds an empty name.")
    return cleaned


def format_spec(name: str, parameters: Mapping[str, str]) -> str:
    """The inverse of `parse`."""
    if not parameters:
        return name
    return name + ":" + ",".join(f"{key}={_quoted(value)}" for key, value in parameters.items())


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no parentheses and no quotes."""
    parts, depth, start = [], 0, 0
    for found in SIGN.finditer(text):
        sign = found.group()
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            parts.append(text[start : found.start()])
            start = found.end()
    if depth != 0:
        raise UsageError(
            f"{secrets.masked(text)!r} has unbalanced parentheses; put a value that holds a lone one in quotes."
        )
    return [*parts, text[start:]]


def _quoted(value: str) -> str:
    """A parameter's text as it is written in a spec: as it stands, in parentheses, or in quotes where those fail."""
    if not re.search(r"[,()]|^$|^\s|\s$|^['\"]", value):
        return value
    try:
        alone = len(_split(f"=({value})")) == 1
    except UsageError:
        alone = False
    return f"({value})" if alone else "'" + value.replace("'", "''") + "'"


def _unquoted(value: str) -> str:
    """The text that a written value stands for."""
    if value.startswith("(") and value.endswith(")"):
        return value[1:-1]
    if QUOTED.fullmatch(value):
        return value[1:-1].replace(value[0] * 2, value[0])
    return value
