"""Estimate the touch-error model's rates from lists of real misspellings and store them with their digest.

Run: python benchmarks/touch_error_rates.py [--data DIR]

Only pairs of plain letters that differ by exactly one substitution, insertion, deletion or transposition of adjacent
letters count; a pair that two operations explain goes to the first that fits in that order of the word.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import os
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "tasks" / "keyboard" / "_touch_error_rates.json"
# typed text corrected by readers; the Birkbeck list is handwriting by poor spellers, and is reported but not used
USED = "spelling/common_misspellings_pairs.tsv.gz"
SHOWN = (USED, "spelling/neuspell_jfleg_pairs.tsv.gz", "spelling/birkbeck_pairs.tsv.gz")


def single_edit(correct: str, typed: str) -> tuple[str, int] | None:
    """The one operation that turns `correct` into `typed`, and its place in `correct`; None when one does not do."""
    place = 0
    while place < min(len(correct), len(typed)) and correct[place] == typed[place]:
        place += 1
    left, right = correct[place:], typed[place:]
    if len(left) == len(right) >= 2 and left[1] + left[0] + left[2:] == right:
        return "transposition", place
    if len(left) == len(right) >= 1 and left[1:] == right[1:]:
        return "substitution", place
    if left == right[1:]:
        # the model inserts after a letter
        return "insertion", max(0, place - 1)
    if left[1:] == right:
        return "deletion", place
    return None


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Lower-cased pairs of letters only."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        pairs = [(row["correct"].lower(), row["misspelling"].lower()) for row in rows]
    return [pair for pair in dict.fromkeys(pairs) if all(word.isascii() and word.isalpha() for word in pair)]


def estimate(pairs: list[tuple[str, str]]) -> dict[str, object]:
    """Shares of the operations, share on the first letter, and what was counted."""
    operations: Counter[str] = Counter()
    first = 0
    for correct, typed in pairs:
        edit = single_edit(correct, typed) if correct != typed else None
        if edit is not None:
            operations[edit[0]] += 1
            first += edit[1] == 0 and len(correct) > 1
    total = sum(operations.values())
    names = ("substitution", "insertion", "deletion", "transposition")
    return {
        "shares": {name: operations[name] / total for name in names},
        "first_letter": round(first / total, 4),
        "single_error_pairs": total,
        "pairs": len(pairs),
    }


def main() -> None:
    """Print the estimate of every list and store that of the one used."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("HARNESS_DATA", str(HERE.parent.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default), help="data root")
    root = parser.parse_args().data
    for name in SHOWN:
        print(name, json.dumps(estimate(read_pairs(root / name))))
    stored = {
        "about": "Shares of typing operations among misspellings that differ from the word by one operation.",
        "made_by": "python benchmarks/touch_error_rates.py",
        "source": USED,
        "sha256": hashlib.sha256((root / USED).read_bytes()).hexdigest(),
        **estimate(read_pairs(root / USED)),
    }
    OUTPUT.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {OUTPUT.name}")


if __name__ == "__main__":
    main()
