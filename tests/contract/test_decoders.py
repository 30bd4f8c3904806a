"""Does every registered decoder keep its promises? Exactness, budgets, caches and degenerate prompts, by registry."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from scipy import stats

from harness.api import registry
from harness.api.protocols import Preparing, Setting, SilentMeter
from harness.api.types import Decoded, Prompt, Step, Want
from harness.models.decoders.beam import BeamSearch
from harness.models.decoders.ensemble import Averaging
from harness.models.decoders.greedy import Greedy
from harness.models.decoders.rerank import Rescoring
from harness.models.decoders.sample import Sample
from harness.models.lms._llama import Network
from harness.models.lms._runtime import LlamaRuntime
from harness.models.lms._shape import read_shape
from harness.models.lms._tabular import TabularModel, TabularState
from harness.parts import resolve
from harness.timing import RunMeter

NAMES = registry.names("decoder")
METER = SilentMeter()
NOWHERE: Any = None

# these load a second registered model by name; tests/models/decoders/test_wrappers.py gives them tabular ones
NEEDS_ANOTHER_MODEL = {"decoders/ensemble", "decoders/rerank"}
# parameters that keep a test small, or turn a sampler greedy
SMALL = {
    "decoders/aded": "iterations=20",
    "decoders/self_consistency": "trials=3",
    "decoders/best_of": "trials=3",
    "decoders/lookahead": "window=3,ngram=3",
    "decoders/exact_mode": "calls=200000",
}
TEMPERED = [
    name for name in NAMES if any(item.name == "temperature" for item in registry.card("decoder", name).parameters)
]
GREEDY = [name for name in NAMES if registry.card("decoder", name).facts["lossless"] in ("greedy", "law")]
LAW = [name for name in TEMPERED if registry.card("decoder", name).facts["lossless"] == "law"]


class Text:
    """Token ids as letters, for decoders that read text."""

    vocabulary = 7

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join("ab.1234"[token % 7] for token in tokens)


@dataclass(frozen=True)
class Target:
    """What a decoder sees of a loaded model."""

    lm: Any
    tokenizer: Any


def decoder(name: str, lm: Any, **options: object) -> Any:
    if name in NEEDS_ANOTHER_MODEL:
        pytest.skip("needs a second registered model")
    given = [*filter(None, [SMALL.get(name)]), *(f"{key}={value}" for key, value in options.items())]
    made = registry.create("decoder", name + (":" + ",".join(given) if given else ""))
    return made.prepare(Setting(NOWHERE), Target(lm, Text())) if isinstance(made, Preparing) else made


def decode(name: str, lm: Any, prompts: Sequence[Prompt], **options: object) -> list[Decoded]:
    found = decoder(name, lm, **options).decode(lm, prompts, seeds=list(range(len(prompts))), meter=METER)
    assert isinstance(found, list)
    return found


def tabular(seed: int = 3, sharpness: float = 1.0) -> TabularModel:
    return TabularModel(7, 2, seed=seed, end=6, sharpness=sharpness)


@cache
def llama() -> LlamaRuntime:
    """A random tiny Llama, sharp enough that no two logits tie."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=160, bos_token_id=0, eos_token_id=1, initializer_range=0.5,
    )  # fmt: skip
    state = transformers.LlamaForCausalLM(config).eval().state_dict()
    return LlamaRuntime(Network(read_shape(config.to_dict()), lambda key: state[key].clone()), 160, [1])


def prompts(count: int = 8, top: int = 6) -> list[Prompt]:
    rng = np.random.default_rng(0)
    return [Prompt(tuple(rng.integers(2 if top > 6 else 0, top, 1 + i).tolist()), 18 + i) for i in range(count)]


def greedy_options(name: str) -> dict[str, object]:
    return {"temperature": 0.0} if name in TEMPERED else {}


@pytest.mark.parametrize("name", GREEDY)
@pytest.mark.parametrize("target", ["tabular", "llama"])
def test_a_lossless_method_gives_the_greedy_tokens_for_every_prompt(name: str, target: str) -> None:
    lm, asked = (tabular(), prompts()) if target == "tabular" else (llama(), prompts(top=61))
    plain = Greedy().decode(lm, asked, seeds=[0] * len(asked), meter=METER)
    found = decode(name, lm, asked, **greedy_options(name))
    assert [item.tokens for item in found] == [item.tokens for item in plain]
    assert [item.finished for item in found] == [item.finished for item in plain]


@pytest.mark.parametrize("name", GREEDY)
def test_drafting_with_the_targets_own_first_layers_changes_nothing(name: str) -> None:
    if not any(item.name == "draft" for item in registry.card("decoder", name).parameters) or name.endswith("lookup"):
        pytest.skip("takes no draft model")
    asked = prompts(top=61)
    plain = Greedy().decode(llama(), asked, seeds=[0] * len(asked), meter=METER)
    for layers, least in ((1, 1.0), (3, 2.0)):
        found = decode(name, llama(), asked, draft=f"self:{layers}")
        assert [item.tokens for item in found] == [item.tokens for item in plain]
        assert sum(map(len, (item.tokens for item in found))) / sum(item.calls for item in found) >= least


@pytest.mark.parametrize("name", NAMES)
def test_emitted_tokens_are_the_sum_of_the_accepted_ones(name: str) -> None:
    for item in decode(name, tabular(), prompts(4)):
        assert sum(item.accepted) == len(item.tokens) + (item.finished == "eos")
        assert min(item.accepted, default=1) >= 1
        assert not set(item.tokens) & tabular().eos


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_gets_the_same_tokens_alone_and_in_any_company(name: str) -> None:
    # an exact search is exponential in the limit
    asked = [Prompt(item.tokens, 4) for item in prompts()] if name == "decoders/exact_mode" else prompts()
    made = decoder(name, tabular())
    seeds = list(range(10, 10 + len(asked)))
    together = made.decode(tabular(), asked, seeds=seeds, meter=METER)
    order = np.random.default_rng(1).permutation(len(asked))
    shuffled = made.decode(tabular(), [asked[i] for i in order], seeds=[seeds[i] for i in order], meter=METER)
    for place, index in enumerate(order):
        assert shuffled[place].tokens == together[index].tokens
    alone = [
        made.decode(tabular(), [item], seeds=[seed], meter=METER)[0] for item, seed in zip(asked, seeds, strict=True)
    ]
    assert [item.tokens for item in alone] == [item.tokens for item in together]


@pytest.mark.parametrize("name", NAMES)
def test_eight_prompts_in_one_batch_get_the_tokens_that_each_gets_alone(name: str) -> None:
    if name == "decoders/exact_mode":
        pytest.skip("an exact search over 61 tokens does not end")
    asked = [replace(item, max_new_tokens=9) for item in prompts(8, top=61)]
    made = wrapped(name)
    together = made.decode(llama(), asked, seeds=list(range(8)), meter=METER)
    alone = [made.decode(llama(), [item], seeds=[seed], meter=METER)[0] for seed, item in enumerate(asked)]
    assert [(item.tokens, item.finished) for item in together] == [(item.tokens, item.finished) for item in alone]
    assert len({item.tokens for item in together}) > 4


def wrapped(name: str) -> Any:
    """The decoder; those that load another model are given the first layers of the same network."""
    if name == "decoders/ensemble":
        return Averaging(Greedy(), (llama().first_layers(2),))
    if name == "decoders/rerank":
        return Rescoring(BeamSearch(width=4, nbest=4), llama().first_layers(2), 0.5)
    return decoder(name, llama())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit", [0, 1])
def test_no_new_tokens_and_a_single_one(name: str, limit: int) -> None:
    for item in decode(name, tabular(), [Prompt((1,), limit), Prompt((0, 2, 4), limit)]):
        assert len(item.tokens) <= limit
        assert limit or item.tokens == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_that_fills_the_context_gets_nothing_and_one_token_of_room_gets_at_most_one(name: str) -> None:
    lm = tabular()
    lm.context_length = 6
    full, nearly = decode(name, lm, [Prompt((0, 1, 2, 3, 4, 5), 9), Prompt((0, 1, 2, 3, 4), 9)])
    assert full.tokens == ()
    assert len(nearly.tokens) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_an_end_token_first_means_an_empty_output(name: str) -> None:
    if name == "decoders/conditional_beam":
        pytest.skip("its default attribute is an output that is not empty")
    lm = tabular()
    lm.table[..., 6] = 50.0
    (item,) = decode(name, lm, [Prompt((0, 1), 9)])
    assert (item.tokens, item.finished) == ((), "eos")


@pytest.mark.parametrize("name", NAMES)
def test_logits_that_are_not_finite_are_an_error_and_no_token(name: str) -> None:
    lm = tabular()
    lm.table[...] = np.nan
    with pytest.raises(ArithmeticError, match="finite"):
        decode(name, lm, [Prompt((0, 1), 5)])


@pytest.mark.parametrize("name", LAW)
def test_the_joint_law_of_sampled_tokens_is_the_targets(name: str) -> None:
    lm, length, draws = TabularModel(4, 2, seed=9), 2, 20_000
    law = lm.joint((0, 1), length)
    made = decoder(name, lm, temperature=1.0)
    found = made.decode(lm, [Prompt((0, 1), length)] * draws, seeds=list(range(draws)), meter=METER)
    seen = Counter(item.tokens for item in found)
    keys = sorted(law)
    expected = np.array([law[key] for key in keys])
    assert stats.chisquare([seen[key] for key in keys], expected / expected.sum() * draws).pvalue > 1e-3


@pytest.mark.parametrize("name", LAW)
def test_temperature_zero_with_sampling_options_is_greedy(name: str) -> None:
    if not any(item.name == "top_k" for item in registry.card("decoder", name).parameters):
        pytest.skip("has no truncation")
    plain = Greedy().decode(tabular(), prompts(), seeds=[0] * 8, meter=METER)
    found = decode(name, tabular(), prompts(), temperature=0.0, top_k=3, top_p=0.5)
    assert [item.tokens for item in found] == [item.tokens for item in plain]


@pytest.mark.parametrize("name", [name for name in TEMPERED if name not in NEEDS_ANOTHER_MODEL])
def test_a_top_k_beyond_the_vocabulary_keeps_everything(name: str) -> None:
    if not any(item.name == "top_k" for item in registry.card("decoder", name).parameters):
        pytest.skip("has no truncation")
    free = decode(name, tabular(), prompts(), temperature=1.0)
    wide = decode(name, tabular(), prompts(), temperature=1.0, top_k=1000)
    assert [item.tokens for item in wide] == [item.tokens for item in free]


class Watched(TabularModel):
    """Checks at every step that the cache holds the prompt and what was emitted, and nothing else."""

    seen: list[tuple[int, ...]]

    def step(
        self,
        state: TabularState,
        tokens: Sequence[Sequence[int]],
        want: Want = Want(),  # noqa: B008
        parents: Sequence[Sequence[int]] | None = None,
    ) -> Step:
        self.seen.append(state.rows[0])
        return super().step(state, tokens, want, parents)


@pytest.mark.parametrize("name", GREEDY)
def test_the_cache_before_every_step_is_a_prefix_of_the_accepted_text(name: str) -> None:
    lm = Watched(7, 2, seed=3, end=6)
    lm.seen = []
    (item,) = decode(name, lm, [Prompt((0, 1, 2), 25)], **greedy_options(name))
    text = (0, 1, 2, *item.tokens)
    assert lm.seen
    assert all(text[: len(held)] == held for held in lm.seen)


def choices(name: str) -> list[str]:
    """The decoder with its defaults, and with every other choice of each parameter that offers some."""
    specs = [name]
    for item in registry.card("decoder", name).parameters:
        offered = ast.literal_eval(item.annotation[len("Literal") :]) if item.annotation.startswith("Literal") else ()
        given = {"tree": ",nodes=3"} if name == "decoders/token_recycling" else {}
        specs += [f"{name}:{item.name}={choice}{given.get(item.name, '')}" for choice in offered if choice != "paper"]
    return specs


def in_a_cell(spec: str, lm: Any) -> Any:
    """The decoder as a cell prepares it for a target."""
    name, given = registry.parse(spec)
    return decoder(name, lm, **given) if name not in NEEDS_ANOTHER_MODEL else wrapped_around(name, lm)


def wrapped_around(name: str, lm: Any) -> Any:
    other = TabularModel(7, 2, seed=4, end=6)
    return Averaging(Greedy(), (other,)) if name == "decoders/ensemble" else Rescoring(BeamSearch(nbest=4), other, 0.5)


@pytest.mark.parametrize("spec", [spec for name in NAMES for spec in choices(name)])
def test_a_cell_leaves_nothing_behind_for_the_next(spec: str) -> None:
    first = [replace(item, max_new_tokens=4) for item in prompts(5)]
    second = [replace(item, max_new_tokens=5) for item in prompts(3)]
    alone_lm, shared = tabular(), tabular()
    alone = in_a_cell(spec, alone_lm).decode(alone_lm, second, seeds=[7, 8, 9], meter=METER)
    in_a_cell(spec, shared).decode(shared, first, seeds=list(range(5)), meter=METER)
    after = in_a_cell(spec, shared).decode(shared, second, seeds=[7, 8, 9], meter=METER)
    assert after == alone
    assert vars(shared).keys() == vars(tabular()).keys(), "a decoder wrote on the model"


@pytest.mark.parametrize("spec", [spec for name in NAMES for spec in choices(name)])
def test_only_a_decoder_whose_card_says_so_carries_state_from_call_to_call(spec: str) -> None:
    asked = [replace(item, max_new_tokens=5) for item in prompts(4)]
    made = in_a_cell(spec, tabular())
    once = made.decode(tabular(), asked, seeds=[1, 2, 3, 4], meter=METER)
    again = made.decode(tabular(), asked, seeds=[1, 2, 3, 4], meter=METER)
    assert [item.tokens for item in again] == [item.tokens for item in once]
    assert (again != once) == resolve("decoder", spec).carries


@pytest.mark.parametrize("name", NAMES)
def test_the_meter_hears_when_each_prompt_got_its_first_token(name: str) -> None:
    asked = [Prompt(item.tokens, 4) for item in prompts(4)]
    meter = RunMeter(len(asked))
    found = in_a_cell(name, tabular()).decode(tabular(), asked, seeds=[0, 1, 2, 3], meter=meter)
    told = [item.first_token is not None for item in meter.requests]
    assert all(heard for heard, item in zip(told, found, strict=True) if item.tokens)
    assert any(item.tokens for item in found)


def test_sampling_is_not_greedy_decoding() -> None:
    plain = Greedy().decode(tabular(), prompts(), seeds=[0] * 8, meter=METER)
    drawn = Sample().decode(tabular(), prompts(), seeds=list(range(8)), meter=METER)
    assert [item.tokens for item in drawn] != [item.tokens for item in plain]
