"""Which block sizes a GPU kernel tries: several on a GPU, the first alone under Triton's interpreter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import triton

from harness.kernels._dispatch import interpreting


def tuned(
    choices: Sequence[Mapping[str, int]], key: Sequence[str], warps: Sequence[int] = (4,)
) -> Callable[[Any], Any]:
    """An autotuner over `choices` x `warps`, measured once for each value of the arguments named by `key`."""
    configs = [triton.Config(dict(choice), num_warps=count) for choice in choices for count in warps]
    # the interpreter runs on the CPU, where the tuner has nothing to time
    return triton.autotune(configs=configs[:1] if interpreting() else configs, key=list(key))  # type: ignore[no-any-return]
