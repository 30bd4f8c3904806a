"""Does training teach a prefix classifier what an output will become, and does the search listen to it?"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Prompt
from harness.models.decoders import _prefix_classifier
from harness.models.decoders._prefix_classifier import Belief, Labelled, PrefixClassifier, balanced_accuracy, train
from harness.models.decoders.conditional_beam import Believing, ConditionalBeam
from harness.models.decoders.sample import Sample
from harness.models.lms._tabular import TabularModel

METER = SilentMeter()
NOWHERE: Any = None
PROMPTS = [Prompt((first, second), 14) for first in range(6) for second in range(6)]
SEARCH = ConditionalBeam(attribute="non_repetitive", ngram=2, repeats=1)


def lm() -> TabularModel:
    return TabularModel(7, 1, seed=5, sharpness=1.5, end=6)


def sampled(seed: int, rounds: int = 8) -> list[Labelled]:
    """The model's own outputs, each labelled by whether a pair of tokens occurs twice in it."""
    prompts = PROMPTS * rounds
    seeds = range(1000 * seed, 1000 * seed + len(prompts))
    found = Sample().decode(lm(), prompts, seeds=list(seeds), meter=METER)
    return [
        Labelled(prompt.tokens, item.tokens, _unrepeated(item.tokens))
        for prompt, item in zip(prompts, found, strict=True)
    ]


def _unrepeated(tokens: tuple[int, ...]) -> bool:
    pairs = list(pairwise(tokens))
    return len(pairs) == len(set(pairs))


@cache
def trained() -> PrefixClassifier:
    return train(sampled(1), 7, seed=0, steps=150)


def test_training_moves_the_accuracy_on_prefixes_it_never_saw_above_chance() -> None:
    torch.manual_seed(0)
    untrained = PrefixClassifier(7).eval()
    held = sampled(2)
    for share, least in ((0.5, 0.62), (1.0, 0.75)):
        assert balanced_accuracy(untrained, held, share) < 0.6
        assert balanced_accuracy(trained(), held, share) > least


def test_before_the_first_token_long_outputs_are_known_to_repeat_no_more_than_others() -> None:
    held = sampled(2)
    assert balanced_accuracy(trained(), held, 0.0) < balanced_accuracy(trained(), held, 1.0) - 0.1


def test_the_guide_reads_token_by_token_what_the_network_reads_at_once() -> None:
    belief, prompt, output = Belief(trained()), Prompt((3, 1, 4), 9), (1, 5, 2, 5)
    whole = np.log(trained().beliefs(prompt.tokens, output))
    found = [belief(prompt, output[:length]) for length in range(5)]
    np.testing.assert_allclose(found, whole, atol=1e-5)


def test_a_classifier_comes_back_from_its_file_bit_for_bit(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "a.safetensors"
    _prefix_classifier.save(trained(), file, {"attribute": "non_repetitive"})
    again, facts = _prefix_classifier.load(file)
    assert facts["attribute"] == "non_repetitive"
    assert again.beliefs((1, 2), (3, 4)) == trained().beliefs((1, 2), (3, 4))


def test_a_file_that_is_none_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "b.safetensors").write_bytes(b"\x80\x04not a classifier")
    for name in ("b.safetensors", "absent.safetensors"):
        with pytest.raises(DataError, match="no prefix classifier"):
            _prefix_classifier.load(tmp_path / name)


def test_the_search_under_a_trained_classifier_says_what_it_finds_likely(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    _prefix_classifier.save(trained(), file, {"attribute": "non_repetitive"})
    spec = f"conditional_beam:attribute=non_repetitive,ngram=2,width=4,classifier={file}"
    made = registry.create("decoder", spec)
    guided = made.prepare(Setting(NOWHERE), None)
    found = guided.decode(lm(), PROMPTS, seeds=[0] * 36, meter=METER)
    assert all(_unrepeated(item.tokens) for item in found)
    plain = SEARCH.decode(lm(), PROMPTS, seeds=[0] * 36, meter=METER)
    assert [item.tokens for item in found] != [item.tokens for item in plain]
    assert made.fingerprint(Setting(NOWHERE))["classifier"]


def test_a_classifier_that_believes_everything_is_the_search_without_one() -> None:
    sure = PrefixClassifier(7).eval()
    torch.nn.init.zeros_(sure.head.weight)
    torch.nn.init.constant_(sure.head.bias, 60.0)
    found = Believing(SEARCH, sure).decode(lm(), PROMPTS, seeds=[0] * 36, meter=METER)
    plain = SEARCH.decode(lm(), PROMPTS, seeds=[0] * 36, meter=METER)
    assert [item.tokens for item in found] == [item.tokens for item in plain]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    _prefix_classifier.save(trained(), file, {"attribute": "length"})
    made = ConditionalBeam(attribute="non_repetitive", classifier=file)
    with pytest.raises(UsageError, match="trained for 'length'"):
        made.prepare(Setting(NOWHERE), None)
    with pytest.raises(UsageError, match="call prepare"):
        made.decode(lm(), PROMPTS[:1], seeds=[0], meter=METER)
    with pytest.raises(UsageError, match="knows 7 tokens"):
        Believing(SEARCH, trained()).decode(TabularModel(9, 1, seed=0), PROMPTS[:1], seeds=[0], meter=METER)
    with pytest.raises(UsageError, match="same label"):
        train([Labelled((1,), (2,), True)] * 3, 7, seed=0)
