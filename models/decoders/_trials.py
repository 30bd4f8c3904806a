"""How does a wrapper run another decoder several times on each prompt? Repeated prompts with derived seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from harness.api.protocols import Decoder, Meter, TokenModel
from harness.api.types import Decoded, Prompt
from harness.models.decoders._inner_meter import InnerMeter


def run_trials(
    inner: Decoder, lm: TokenModel, prompts: Sequence[Prompt], trials: int, seeds: Sequence[int], meter: Meter
) -> list[list[Decoded]]:
    """`trials` outputs for each prompt; the first has the prompt's own seed, so one trial is the inner decoder.

    The meter is told of no token: whoever chooses tells it of the output that is kept.
    """
    repeated = [prompt for prompt in prompts for _ in range(trials)]
    depth = _wrappers(inner)
    derived = [trial_seed(seed, trial, depth) for seed in seeds for trial in range(trials)]
    found = inner.decode(lm, repeated, seeds=derived, meter=InnerMeter(meter))
    return [found[start : start + trials] for start in range(0, len(found), trials)]


def trial_seed(seed: int, trial: int, depth: int = 0) -> int:
    """Seed of one trial around `depth` wrappers; trial 0 keeps the seed.

    The depth keeps trial 1 around trial 0 apart from trial 0 around trial 1. Entropy is padded with zeros, so that a
    depth of 0 is the pair alone.
    """
    if trial == 0:
        return seed
    return int(np.random.SeedSequence([seed, trial, depth]).generate_state(1, np.uint64)[0] >> 1)


@runtime_checkable
class _Wrapper(Protocol):
    inner: Any


def _wrappers(decoder: Any) -> int:
    return 1 + _wrappers(decoder.inner) if isinstance(decoder, _Wrapper) else 0
