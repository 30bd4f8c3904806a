"""Do the generated long-range tasks follow their stated laws?"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import DataError
from harness.tasks.long_range.arrow_pointing import ArrowPointing
from harness.tasks.long_range.associative_recall import AssociativeRecall
from harness.tasks.long_range.hidden_digits import HiddenDigits
from harness.tasks.long_range.listops import CLOSE, OPERATORS, ListOps, evaluate, grow, nesting
from harness.tasks.long_range.parity import Parity
from harness.tasks.long_range.pathfinder import Pathfinder
from harness.tasks.long_range.retrieval import Retrieval
from harness.tasks.long_range.selective_copying import SelectiveCopying
from harness.tasks.long_range.state_tracking import StateTracking

NOWHERE: Any = None


def drawn(task: Any, split: str = "test", count: int = 20) -> list[tuple[np.ndarray[Any, Any], Any]]:
    found = []
    for example in task.examples(split, 0, NOWHERE):
        found.append((example.requests[0].sequence, example.target))
        if len(found) == count:
            break
    return found


def length_law(depth: int, arguments: int, longest: int) -> np.ndarray[Any, Any]:
    """Probability of every tree length up to `longest`, by generating functions from the leaves up."""
    leaf = np.zeros(longest)
    leaf[1] = 1.0
    law = leaf
    for _ in range(depth - 1):
        total, power = np.zeros(longest), np.zeros(longest)
        power[0] = 1.0
        for count in range(1, arguments + 1):
            size = 2 * longest
            power = np.fft.irfft(np.fft.rfft(power, size) * np.fft.rfft(law, size), size)[:longest]
            if count >= 2:
                total += power / (arguments - 1)
        shifted = np.zeros(longest)
        shifted[2:] = total[:-2]
        law = 0.75 * leaf + 0.25 * shifted
    return law


def independent_value(tokens: Sequence[int]) -> int:
    """Python's own parser evaluates the same expression."""
    words = []
    for token in tokens:
        if token < 10:
            words.append(f"{token},")
        elif token < CLOSE:
            words.append(f"{OPERATORS[token - 10]}([")
        else:
            words.append("]),")
    names = {
        "MIN": min,
        "MAX": max,
        "SM": lambda values: sum(values) % 10,
        "MED": lambda values: int(np.median(values)),
    }
    text = "".join(words).rstrip(",")
    assert re.fullmatch(r"[A-Z\d,()\[\]]+", text)
    return int(eval(text, {"__builtins__": {}}, names))  # noqa: S307 - letters, digits and brackets alone


def test_listops_values_agree_with_an_independent_evaluator() -> None:
    rng = np.random.default_rng(0)
    trees = [grow(rng, 10, 10, 400) for _ in range(4_000)]
    kept = [tree for tree in trees if tree is not None]
    assert len(kept) > 2_000
    assert all(evaluate(tree) == independent_value(tree) for tree in kept)


def test_listops_lengths_follow_the_exact_law() -> None:
    rng, count = np.random.default_rng(1), 20_000
    law = length_law(10, 10, 2_000)
    lengths = [0 if (tree := grow(rng, 10, 10, 2_000)) is None else len(tree) for _ in range(count)]
    edges = [1, 2, 10, 30, 100, 500, 2_000]
    for low, high in itertools.pairwise(edges):
        expected = law[low:high].sum()
        seen = np.mean([low <= length < high for length in lengths])
        assert abs(seen - expected) < 0.02 * expected + 3 * np.sqrt(expected / count)


def test_listops_examples_keep_within_their_bounds() -> None:
    task = ListOps(shortest=50, longest=200)
    examples = drawn(task, count=40)
    assert all(50 < len(sequence) < 200 for sequence, _ in examples)
    assert all(target == evaluate(sequence.tolist()) for sequence, target in examples)
    assert max(nesting(sequence.tolist()) for sequence, _ in examples) <= 10


@pytest.mark.slow
def test_listops_classes_lengths_and_depths_of_ten_thousand_examples() -> None:
    law = length_law(10, 10, 2_000)[501:]
    examples = drawn(ListOps(test=10_000), count=10_000)
    lengths = np.array([len(sequence) for sequence, _ in examples])
    assert abs(lengths.mean() / (np.arange(501, 2_000) @ law / law.sum()) - 1) < 0.02
    classes = Counter(target for _, target in examples)
    assert set(classes) == set(range(10))
    assert all(evaluate(sequence.tolist()) == target for sequence, target in examples)


def test_listops_of_a_single_level_is_a_digit() -> None:
    assert grow(np.random.default_rng(0), 1, 10, 5) in [[digit] for digit in range(10)]
    assert (evaluate([7]), nesting([7])) == (7, 1)
    # MED of an even number of values is rounded down, as int(numpy.median) does
    assert evaluate([12, 1, 4, CLOSE]) == 2


def test_parity_labels_are_running_parities_and_far_positions_are_graded() -> None:
    for sequence, target in drawn(Parity()):
        assert target == [int(sequence[: place + 1].sum() % 2) for place in range(128, 256)]
    assert len(drawn(Parity(), "train")[0][0]) == 40


def test_state_tracking_multiplies_permutations() -> None:
    s3 = drawn(StateTracking(), count=50)
    # a product of permutations: order matters, every element occurs, and the first label is the first token
    assert all(target[0] == sequence[0] for sequence, target in s3)
    assert {label for _, target in s3 for label in target} == set(range(6))
    words = {(int(sequence[0]), int(sequence[1])): target[1] for sequence, target in s3}
    assert any(words.get((b, a), value) != value for (a, b), value in words.items())


def test_recall_labels_are_the_values_shown_with_the_keys() -> None:
    for sequence, target in drawn(AssociativeRecall(test_pairs=16)):
        shown = {int(key): int(value) - 16 for key, value in sequence[:32].reshape(-1, 2)}
        assert target == [shown[int(key)] for key in sequence[32:]]


def test_selective_copying_returns_the_items_in_order() -> None:
    for sequence, target in drawn(SelectiveCopying()):
        assert [int(token) for token in sequence if token < 16] == target


def test_arrows_point_at_the_circle_or_clearly_do_not() -> None:
    task = ArrowPointing(test=200)
    labels = [target for _, target in drawn(task, count=200)]
    assert 70 < sum(labels) < 130
    assert drawn(task)[0][0].shape == (48 * 48, 1)
    assert drawn(task, "train")[0][0].shape == (24 * 24, 1)


def test_patches_hold_the_pixels_of_their_squares_row_by_row() -> None:
    (pixels, label), (patches, same) = (drawn(ArrowPointing(size=16, patch=size), "train", 1)[0] for size in (1, 4))
    assert label == same
    picture = pixels.reshape(16, 16)
    assert patches.shape == (16, 16)
    assert patches[6].tolist() == picture[4:8, 8:12].reshape(-1).tolist()
    with pytest.raises(ValueError, match="patch that divides"):
        ArrowPointing(patch=5)


def test_a_passkey_of_all_depths_is_asked_for_at_the_end() -> None:
    depths = set()
    for sequence, target in drawn(HiddenDigits(length=16, test_length=20), count=200):
        depth = sequence.tolist().index(10)
        depths.add(depth)
        assert sequence.shape == (20,)
        assert sequence[depth + 1 : depth + 6].tolist() == target
        assert sequence[15:].tolist() == [11] * 5
        assert sequence.tolist().count(10) == 1
        assert int((sequence >= 12).sum()) == 9
    assert depths == set(range(10))


def test_a_passkey_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="lengths of 11 or more"):
        HiddenDigits(length=10)


def test_pathfinder_pictures_hold_two_marks_and_dimmer_dashes() -> None:
    for sequence, _ in drawn(Pathfinder(), count=10):
        values = np.unique(np.round(sequence, 2))
        assert values.tolist() == pytest.approx([0.0, 0.75, 1.0], abs=0.01)
        assert 8 <= int((sequence == 1.0).sum()) <= 28


def strokes(pixels: np.ndarray[Any, Any], reach: int) -> dict[tuple[int, int], int]:
    """The group of every drawn pixel, where pixels whose squared distance is at most `reach` are of one group."""
    waiting = {(int(row), int(column)) for row, column in zip(*np.nonzero(pixels), strict=True)}
    groups: dict[tuple[int, int], int] = {}
    while waiting:
        queue = [waiting.pop()]
        number = len(set(groups.values()))
        while queue:
            row, column = queue.pop()
            groups[row, column] = number
            near = {other for other in waiting if (other[0] - row) ** 2 + (other[1] - column) ** 2 <= reach}
            waiting -= near
            queue += near
    return groups


def test_pathfinders_label_is_what_a_search_on_the_picture_finds() -> None:
    # two pixels' gap between dashes is (2, 2) at most once rounded, so that a joining curve never breaks at 8; curves
    # that lie close may seem to touch there, so that the search errs in one direction alone
    apart = {0: [], 1: []}  # type: dict[int, list[bool]]
    sizes = []
    for sequence, target in drawn(Pathfinder(test=200), count=200):
        pixels = sequence.reshape(32, 32)
        groups = strokes(pixels, 8)
        marked = {groups[int(row), int(column)] for row, column in zip(*np.nonzero(pixels == 1.0), strict=True)}
        apart[target].append(len(marked) > 1)
        sizes += [sum(group == mark for group in groups.values()) for mark in marked]
    assert sum(apart[1]) == 0
    assert 0.35 < np.mean(apart[0]) < 0.65
    # both marks lie on curves of 14 dashes: a distractor of 4, with its mark, has at most 21 pixels
    assert min(sizes) >= 40


def test_the_joining_curve_is_not_betrayed_by_the_amount_of_ink() -> None:
    ink = {0: [], 1: []}  # type: dict[int, list[float]]
    for sequence, target in drawn(Pathfinder(test=300), count=300):
        ink[target].append(float(sequence.sum()))
    spread = np.std(ink[0] + ink[1]) * np.sqrt(1 / len(ink[0]) + 1 / len(ink[1]))
    assert abs(np.mean(ink[0]) - np.mean(ink[1])) < 4 * spread


def test_retrieval_reads_the_release_and_names_a_broken_line(tmp_path: Path) -> None:
    file = tmp_path / "new_aan_pairs.test.tsv"
    file.write_text("1.0\ta\tb\tone text\tother\n0.0\tc\td\tx\t\n", encoding="utf-8")
    task = Retrieval(path=tmp_path, length=3)
    (first, label), (second, _) = drawn(task)
    assert (label, first.tolist()) == (1, [ord("o") + 1, ord("n") + 1, ord("e") + 1, 257, *(b + 1 for b in b"oth")])
    assert second.tolist() == [ord("x") + 1, 257]
    file.write_text("1.0\ta\tb\tone text\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 1: 4 columns"):
        drawn(task)
    with pytest.raises(DataError, match="holds no new_aan_pairs"):
        drawn(task, "train")


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        registry.create("task", "parity:test=5").__class__(test=0)
