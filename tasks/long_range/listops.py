"""Whether a model evaluates a long nested list expression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.registry import task
from harness.api.types import Label
from harness.tasks.long_range._drawn import Drawn, DrawnTask
from harness.tasks.long_range._reference import transformer_parameters

OPERATOR_CHANCE = 0.25  # of a node above the greatest depth
OPERATORS = ("MIN", "MAX", "MED", "SM")
CLOSE = 10 + len(OPERATORS)  # digits are their own ids, then the operators, then the closing bracket
VOCABULARY = CLOSE + 1


@task(
    version=1,
    doors=("label",),
    paper="Nangia & Bowman 2018, arXiv:1804.06028; Tay et al. 2021 (LRA), arXiv:2011.04006",
    licence="Apache-2.0 (generated)",
    differs="fewer training examples by default (the official 96,000 by parameter)",
    chance=0.1,
)
class ListOps(DrawnTask):
    """Prefix expressions over MIN, MAX, MED (median, rounded down) and SM (sum modulo 10); the answer is a digit.

    The official generator's law: a node above depth 10 is an operator with probability 0.25, else a digit; an
    operator has 2..10 arguments; trees with shortest < length < longest are kept, where an operator counts two tokens
    (its opening and its bracket) and a digit one. Parentheses of the official files are left out, as its own input
    pipeline does. The example of training Transformers reaches 36.37 % in the paper.
    Differs from the paper: 4,000 training examples by default in place of 96,000.
    """

    depth: int = 10
    arguments: int = 10
    shortest: int = 500  # tokens, exclusive
    longest: int = 2_000  # tokens, exclusive

    def __post_init__(self) -> None:
        """Refuse trees that cannot exist."""
        super().__post_init__()
        if self.depth < 1 or self.arguments < 2 or not 0 <= self.shortest < self.longest - 1:
            raise ValueError("listops needs depth >= 1, arguments >= 2 and shortest < longest - 1.")

    @property
    def reference_parameters(self) -> int:
        """Size of the base Transformer of the release; its six layers are one, tied."""
        return transformer_parameters(vocabulary=VOCABULARY, classes=10, width=512, inner=512, mlp=2048, layers=1)

    def draw(self, rng: np.random.Generator, split: str) -> Drawn:
        """Trees until one has an allowed length."""
        while True:
            tree = grow(rng, self.depth, self.arguments, self.longest)
            if tree is not None and self.shortest < len(tree) < self.longest:
                break
        depth = nesting(tree)
        return Drawn(Label(np.array(tree), 10, VOCABULARY), evaluate(tree), {"depth": str(depth)})


def grow(rng: np.random.Generator, depth: int, arguments: int, longest: int) -> list[int] | None:
    """Tokens of one random tree in prefix order; None as soon as it must become too long."""
    tokens: list[int] = []
    open_arguments: list[int] = []  # arguments that the open operators still wait for
    # numbers are drawn in blocks, since most trees are small and most draws are rejected
    chances, digits, at = rng.random(256), rng.integers(0, 10, 256), 0
    while True:
        if at == 256:
            chances, digits, at = rng.random(256), rng.integers(0, 10, 256), 0
        if len(open_arguments) + 1 < depth and chances[at] <= OPERATOR_CHANCE:
            tokens.append(10 + int(rng.integers(len(OPERATORS))))
            open_arguments.append(int(rng.integers(2, arguments + 1)))
        else:
            tokens.append(int(digits[at]))
            while open_arguments:
                open_arguments[-1] -= 1
                if open_arguments[-1]:
                    break
                open_arguments.pop()
                tokens.append(CLOSE)
            if not open_arguments:
                return tokens
        at += 1
        if len(tokens) >= longest:
            return None


def evaluate(tokens: Sequence[int]) -> int:
    """The value of an expression, by one pass with a stack."""
    stack: list[list[int]] = [[]]
    operators: list[int] = []
    for token in tokens:
        if token < 10:
            stack[-1].append(token)
        elif token < CLOSE:
            operators.append(token)
            stack.append([])
        else:
            values = stack.pop()
            stack[-1].append(_apply(OPERATORS[operators.pop() - 10], values))
    return stack[0][0]


def nesting(tokens: Sequence[int]) -> int:
    """Levels of the tree, a lone digit having one."""
    depth = deepest = 0
    for token in tokens:
        if 10 <= token < CLOSE:
            depth += 1
        elif token == CLOSE:
            depth -= 1
        deepest = max(deepest, depth + (token < 10))
    return deepest


def _apply(operator: str, values: Sequence[int]) -> int:
    if operator == "MIN":
        return min(values)
    if operator == "MAX":
        return max(values)
    if operator == "SM":
        return sum(values) % 10
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) // 2
