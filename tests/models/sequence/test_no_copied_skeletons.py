"""Is any mixer file a copy of another with the names changed?"""

from __future__ import annotations

import ast
import difflib
import itertools
import keyword
import re
from pathlib import Path

from harness.models import sequence

FOLDER = Path(next(iter(sequence.__path__)))
FILES = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith("_"))
LIMIT = 10  # lines


def masked(text: str) -> list[str]:
    """Code lines without imports and docstrings, every name replaced by n."""
    dropped: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            dropped.update(range(node.lineno, (node.end_lineno or 0) + 1))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            first = node.body[0]
            dropped.update(range(first.lineno, (first.end_lineno or 0) + 1))
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        code = line.split("#")[0].strip()
        if code and number not in dropped:
            lines.append(re.sub(r"[A-Za-z_]\w*", lambda hit: hit[0] if keyword.iskeyword(hit[0]) else "n", code))
    return lines


def longest_shared(left: list[str], right: list[str]) -> int:
    return difflib.SequenceMatcher(None, left, right, autojunk=False).find_longest_match().size


def test_renaming_does_not_hide_a_copy() -> None:
    text = (FOLDER / "lru.py").read_text()
    assert longest_shared(masked(text), masked(text.replace("state", "memory"))) > LIMIT


def test_no_two_mixers_share_ten_lines_in_a_row() -> None:
    lines = {path.name: masked(path.read_text()) for path in FILES}
    copies = {
        (left, right): size
        for left, right in itertools.combinations(lines, 2)
        if (size := longest_shared(lines[left], lines[right])) >= LIMIT
    }
    assert copies == {}
