"""How does a wrapper run another decoder several times on each prompt? Repeated prompts with derived seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.protocols import Decoder, Meter, TokenModel
from harness.api.types import Decoded, Prompt


def run_trials(
    inner: Decoder, lm: TokenModel, prompts: Sequence[Prompt], trials: int, seeds: Sequence[int], meter: Meter
) -> list[list[Decoded]]:
    """`trials` outputs for each prompt; the first has the prompt's own seed, so one trial is the inner decoder."""
    repeated = [prompt for prompt in prompts for _ in range(trials)]
    derived = [trial_seed(seed, trial) for seed in seeds for trial in range(trials)]
    found = inner.decode(lm, repeated, seeds=derived, meter=meter)
    return [found[start : start + trials] for start in range(0, len(found), trials)]


def trial_seed(seed: int, trial: int) -> int:
    """Seed of one trial; trial 0 keeps the seed."""
    return seed if trial == 0 else int(np.random.SeedSequence([seed, trial]).generate_state(1, np.uint64)[0] >> 1)
