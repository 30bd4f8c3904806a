"""By which angles does a checkpoint turn its queries and keys? The rotary embedding that a `config.json` describes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.models.lms._settings import Settings


@dataclass(frozen=True, slots=True)
class Rotary:
    """Angles of one rotary embedding: inverse frequencies [head_width / 2], and a factor on cos and sin."""

    frequencies: tuple[float, ...]
    factor: float = 1.0  # YaRN's attention factor


def read_rotary(config: Settings, kind: str, width: int, *, gemma: bool) -> Rotary:
    """The angles of the layers of one kind; DataError for a rule that is not supported, or that cannot be.

    Gemma's layers with a window have an angle of their own, whatever the others are told.
    """
    given = config.inner("rope_parameters" if config.has("rope_parameters") else "rope_scaling")
    if any(name in given.given for name in ("sliding_attention", "full_attention")):
        given = given.inner(kind)
    elif gemma and kind == "sliding_attention":
        given = Settings({"rope_theta": config.number("rope_local_base_freq", 1e4, above=1.0)})
    # below 1 the waves of later pairs would grow shorter, and at 1 YaRN divides by 0
    theta_of = given if given.has("rope_theta") else config
    theta = theta_of.number("rope_theta", 1e6 if gemma and kind == "full_attention" else 1e4, above=1.0)
    if given.number("partial_rotary_factor", 1.0) != 1.0:
        raise given.refused("partial_rotary_factor", "only 1 is supported here; use lms/hf:path=...")
    plain = [theta ** (-2 * i / width) for i in range(width // 2)]
    named = "rope_type" if given.has("rope_type") else "type"
    scaling = given.word(named, "default")
    if scaling == "default":
        return Rotary(tuple(plain))
    if scaling == "linear":
        factor = given.number("factor")
        return Rotary(tuple(value / factor for value in plain))
    if scaling == "llama3":
        return Rotary(_llama3(config, given, plain))
    if scaling == "yarn":
        return _yarn(config, given, theta, plain)
    if scaling == "longrope":
        return _longrope(given, plain)
    raise given.refused(named, "this rotary scaling is not supported here; use lms/hf:path=...")


def _llama3(config: Settings, given: Settings, plain: list[float]) -> tuple[float, ...]:
    """Llama 3.1's rule: long waves are stretched, short ones kept, those between interpolated."""
    factor, low = given.number("factor"), given.number("low_freq_factor")
    high, trained = given.number("high_freq_factor"), _trained(config, given)
    if high <= low:
        raise given.refused("high_freq_factor", f"more than low_freq_factor={low:g} was expected")

    def stretched(frequency: float) -> float:
        wave = 2 * math.pi / frequency
        if wave < trained / high:
            return frequency
        if wave > trained / low:
            return frequency / factor
        smooth = (trained / wave - low) / (high - low)
        return (1 - smooth) * frequency / factor + smooth * frequency

    return tuple(stretched(value) for value in plain)


def _longrope(given: Settings, plain: list[float]) -> Rotary:
    """A factor for each pair of a head.

    Two lists, one for short and one for long texts, would make a token's score depend on what follows it, so they must
    be the same.
    """
    short, long = (given.numbers(key, len(plain)) for key in ("short_factor", "long_factor"))
    if short != long:
        raise given.refused("long_factor", "factors that depend on the text's length are not supported here")
    stretched = tuple(value / factor for value, factor in zip(plain, short, strict=True))
    return Rotary(stretched, given.number("attention_factor"))


def _yarn(config: Settings, given: Settings, theta: float, plain: list[float]) -> Rotary:
    """YaRN (Peng et al. 2023), section 3: a ramp over the dimensions between interpolation and extrapolation."""
    width, factor, trained = 2 * len(plain), given.number("factor"), _trained(config, given)

    def dimension(rotations: float) -> float:
        return width * math.log(trained / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = dimension(given.number("beta_fast", 32.0)), dimension(given.number("beta_slow", 1.0))
    if given.flag("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    span = max(high - low, 0.001)
    kept = [1 - min(max((i - low) / span, 0.0), 1.0) for i in range(width // 2)]
    mixed = tuple(value / factor * (1 - keep) + value * keep for value, keep in zip(plain, kept, strict=True))

    def magnitude(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    if given.has("attention_factor"):
        return Rotary(mixed, given.number("attention_factor"))
    all_dims, one_dim = (given.number(key, 0.0, above=-1e9, least=0.0) for key in ("mscale_all_dim", "mscale"))
    return Rotary(mixed, magnitude(one_dim) / magnitude(all_dims) if all_dims and one_dim else magnitude(1.0))


def _trained(config: Settings, given: Settings) -> float:
    """The context length before it was stretched."""
    key = "original_max_position_embeddings"
    return given.number(key) if given.has(key) else config.number("max_position_embeddings")
