"""Does the one draft-and-verify loop keep the target's law, its budget and its cache?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from harness.api.errors import UsageError
from harness.api.protocols import SilentMeter
from harness.api.types import Decoded, Prompt
from harness.models.decoders._draft_model import OnlineNgram
from harness.models.decoders._drafted_tree import Plan
from harness.models.decoders._rank_tree import best_tree, chain, recycling_tree
from harness.models.decoders._speculation import speculate
from harness.models.decoders._tree import Tree
from harness.models.decoders._verify import draw_then_match, independent, without_replacement
from harness.models.decoders._warping import Warping
from harness.models.decoders.aded import Aded
from harness.models.decoders.lookahead import Lookahead
from harness.models.decoders.prompt_lookup import Copying, PromptLookup
from harness.models.decoders.sample import Sample
from harness.models.decoders.speculative import Bound
from harness.models.decoders.token_recycling import Recycling, TokenRecycling
from harness.models.lms._tabular import TabularModel

DRAFT = TabularModel(4, 2, seed=8)
PLANS = {
    "chain": Plan("constant", (1, 1, 1)),
    "constant": Plan("constant", (2, 2)),
    "beam": Plan("beam", (2, 2, 2)),
    "independent": Plan("independent", (2, 2)),
}

DECODERS = {
    "aded": lambda temperature: Aded(iterations=20, temperature=temperature),
    "lookahead": lambda temperature: Lookahead(window=3, ngram=3, temperature=temperature),
    "prompt_lookup": lambda temperature: PromptLookup(temperature=temperature),
    "recycling cold": lambda temperature: TokenRecycling(start="cold", temperature=temperature),
    "recycling prompt": lambda temperature: TokenRecycling(temperature=temperature),
    "recycling hot": lambda temperature: TokenRecycling(start="hot", temperature=temperature),
    "recycling chain": lambda temperature: TokenRecycling(tree="chain", nodes=3, temperature=temperature),
}


def greedy(lm: TabularModel, prompt: Sequence[int], count: int) -> tuple[int, ...]:
    tokens: list[int] = []
    for _ in range(count):
        token = int(lm.logits([*prompt, *tokens]).argmax())
        if token in lm.eos:
            break
        tokens.append(token)
    return tuple(tokens)


def decode(name: str, lm: TabularModel, prompts: Sequence[Prompt], temperature: float = 0.0) -> list[Decoded]:
    return DECODERS[name](temperature).decode(lm, prompts, seeds=list(range(len(prompts))), meter=SilentMeter())


@pytest.mark.parametrize("name", DECODERS)
def test_greedy_output_is_the_greedy_output_in_any_company(name: str) -> None:
    lm = TabularModel(7, 2, seed=3, end=6)
    prompts = [Prompt(tuple(np.random.default_rng(i).integers(0, 6, 1 + i % 9)), 30 + i) for i in range(12)]
    for result, prompt in zip(decode(name, lm, prompts), prompts, strict=True):
        assert result.tokens == greedy(lm, prompt.tokens, prompt.max_new_tokens)
        assert sum(result.accepted) == len(result.tokens) + (result.finished == "eos")
        assert min(result.accepted) >= 1
        assert decode(name, lm, [prompt])[0].tokens == result.tokens


@pytest.mark.parametrize("name", DECODERS)
def test_no_new_tokens_means_no_target_call(name: str) -> None:
    lm = TabularModel(5, 1, seed=0)
    (result,) = decode(name, lm, [Prompt((1, 2), 0)])
    assert (result.tokens, result.calls, result.finished) == ((), 0, "length")


def sampled_law(decoder: Bound, lm: TabularModel, length: int, draws: int = 20_000) -> float:
    law = lm.joint([0, 1], length)
    results = decoder.decode(lm, [Prompt((0, 1), length)] * draws, seeds=list(range(draws)), meter=SilentMeter())
    seen = Counter(item.tokens for item in results)
    keys = sorted(key for key, chance in law.items() if chance > 0)
    assert set(seen) <= set(keys)
    expected = np.array([law[key] for key in keys])
    return float(stats.chisquare([seen[key] for key in keys], expected / expected.sum() * draws).pvalue)


@pytest.mark.parametrize(
    "plan", [plan if plan in ("chain", "beam") else pytest.param(plan, marks=pytest.mark.slow) for plan in PLANS]
)
def test_a_model_draft_keeps_the_joint_law(plan: str) -> None:
    lm = TabularModel(4, 2, seed=2)
    assert sampled_law(Bound(DRAFT, PLANS[plan], Warping(1.0)), lm, 2) > 1e-3


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("draft", ["random", "perfect", "ngram", "broken"])
def test_greedy_output_does_not_depend_on_the_draft(plan: str, draft: str) -> None:
    lm = TabularModel(4, 2, seed=2, end=3)
    broken = TabularModel(4, 2, seed=2)
    broken.table[...] = np.nan
    drafts = {"random": DRAFT, "perfect": lm, "ngram": OnlineNgram(lm, 3), "broken": broken}
    prompts = [Prompt((0, 1), 20), Prompt((2,), 9), Prompt((1, 2, 0, 0, 2), 1)]
    bound = Bound(drafts[draft], PLANS[plan], Warping(0.0))
    for result, prompt in zip(bound.decode(lm, prompts, seeds=[0, 1, 2], meter=SilentMeter()), prompts, strict=True):
        assert result.tokens == greedy(lm, prompt.tokens, prompt.max_new_tokens)
        if draft == "broken":
            assert set(result.accepted) == {1}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_draft_that_is_the_target_is_accepted_whole(temperature: float) -> None:
    lm = TabularModel(6, 2, seed=4)
    (result,) = Bound(lm, PLANS["chain"], Warping(temperature)).decode(
        lm, [Prompt((0, 1), 40)], seeds=[5], meter=SilentMeter()
    )
    assert result.accepted == (4,) * 10


def test_a_draft_of_another_vocabulary_is_refused() -> None:
    with pytest.raises(UsageError, match="4 tokens and the target 5"):
        Bound(DRAFT, PLANS["chain"], Warping(0.0)).decode(
            TabularModel(5, 1, seed=0), [Prompt((0,), 3)], seeds=[0], meter=SilentMeter()
        )


def test_more_children_than_the_drafts_support_are_not_drawn() -> None:
    lm = TabularModel(4, 1, seed=1)
    law = sampled_law(Bound(DRAFT, Plan("constant", (4, 2)), Warping(1.0, top_k=2)), _truncated(lm, 2), 1)
    assert law > 1e-3


def _truncated(lm: TabularModel, keep: int) -> TabularModel:
    """The same chain with all but the likeliest tokens removed, which is what top-k sampling draws from."""
    order = np.argsort(np.argsort(-lm.table, axis=-1), axis=-1)
    lm.table[order >= keep] = -1e9
    return lm


@pytest.mark.parametrize("name", DECODERS)
def test_sampling_gives_the_tokens_of_plain_sampling_from_the_same_seed(name: str) -> None:
    lm = TabularModel(6, 2, seed=3, end=5)
    prompts = [Prompt((0, 1, 0, 1), 25)] * 6
    plain = Sample().decode(lm, prompts, seeds=range(6), meter=SilentMeter())
    assert [item.tokens for item in decode(name, lm, prompts, 1.0)] == [item.tokens for item in plain]


def test_adaptation_accepts_more_of_repetitive_text() -> None:
    lm = TabularModel(50, 1, seed=0, sharpness=50)
    calls = [
        Aded(adapt=adapt).decode(lm, [Prompt((4, 2, 7), 200)], seeds=[0], meter=SilentMeter())[0].calls
        for adapt in (False, True)
    ]
    assert calls[1] < 0.7 * calls[0]


def test_repetitive_text_is_copied_faster_than_one_token_a_call() -> None:
    lm = TabularModel(50, 1, seed=0, sharpness=50)
    (result,) = decode("prompt_lookup", lm, [Prompt((4, 2, 7), 400)])
    assert len(result.tokens) / result.calls > 3


def test_a_stop_found_inside_an_accepted_path_cuts_there() -> None:
    lm = TabularModel(50, 1, seed=0, sharpness=50)
    prompt = Prompt((4, 2, 7), 300, finished=lambda tokens: len(tokens) == 123)
    (result,) = decode("prompt_lookup", lm, [prompt])
    assert (len(result.tokens), result.finished, sum(result.accepted)) == (123, "stop", 123)


def chi_square(rule: object, replace: bool) -> float:
    rng, draws = np.random.default_rng(0), 20_000
    p, q = np.array([0.4, 0.35, 0.2, 0.05]), np.array([0.05, 0.2, 0.35, 0.4])
    seen = np.zeros(4)
    for _ in range(draws):
        children = [int(token) for token in rng.choice(4, size=3, replace=replace, p=q)]
        seen[rule(p, children, q, rng)[1]] += 1  # type: ignore[operator]
    return float(stats.chisquare(seen, p * draws).pvalue)


def test_each_child_rule_returns_the_targets_law_for_its_own_way_of_drawing() -> None:
    assert chi_square(without_replacement, replace=False) > 1e-3
    assert chi_square(independent, replace=True) > 1e-3
    assert chi_square(draw_then_match, replace=True) > 1e-3


def test_independent_acceptance_of_children_drawn_without_replacement_is_caught() -> None:
    assert chi_square(independent, replace=False) < 1e-6


def test_without_replacement_two_tokens_and_two_children_always_accept() -> None:
    p, q, rng = np.array([0.9, 0.1]), np.array([0.1, 0.9]), np.random.default_rng(0)
    for _ in range(500):
        children = [int(token) for token in rng.choice(2, size=2, replace=False, p=q)]
        assert without_replacement(p, children, q, rng)[0] is not None


def test_the_published_tree_has_80_nodes_on_levels_of_8_21_25_15_8_3() -> None:
    tree = recycling_tree()
    assert [tree.depths.count(level) for level in range(1, 7)] == [8, 21, 25, 15, 8, 3]


def test_a_best_tree_of_one_hit_is_a_chain() -> None:
    assert best_tree((0.5,), 4) == chain(4)


@pytest.mark.parametrize(("match", "copied"), [("first", [3, 9, 4, 1, 2]), ("latest", [5, 6, 1, 2])])
def test_the_first_occurrence_is_copied_as_published_and_the_latest_on_request(match: str, copied: list[int]) -> None:
    text = [1, 2, 3, 9, 4, 1, 2, 5, 6, 1, 2]
    tree = Copying(3, 5, match == "latest").propose(text, 9)
    assert tree.tokens[1:] == copied


def test_the_longest_n_gram_that_occurs_decides() -> None:
    # 2 alone first occurs before 9, but 1 2 before 5
    assert Copying(3, 1).propose([2, 9, 1, 2, 5, 1, 2], 9).tokens[1:] == [5]
    assert Copying(1, 1).propose([2, 9, 1, 2, 5, 1, 2], 9).tokens[1:] == [9]


def test_what_was_generated_is_looked_up_like_the_prompt() -> None:
    drafter = Copying(2, 3)
    assert drafter.propose([7, 8], 9).drafted == 0
    assert drafter.propose([7, 8, 5, 6, 7], 9).tokens[1:] == [8, 5, 6]


def test_a_draft_may_be_as_deep_as_what_is_left_less_the_targets_own_token() -> None:
    lm, asked = TabularModel(4, 2, seed=9), []

    class Watched(Copying):
        def propose(self, tokens: Sequence[int], depth: int) -> Tree:
            asked.append(depth)
            return Tree.rooted(tokens[-1])

    speculate(
        lm, [Prompt((0, 1), 4)], [Watched(3, 10, True)], seeds=[0], meter=SilentMeter(), warping=Warping(0.0),
        rule=draw_then_match, width=10,
    )  # fmt: skip
    assert asked == [3, 2, 1, 0]


@pytest.mark.parametrize(("depth", "nodes"), [(0, 0), (1, 8), (2, 29), (3, 54), (9, 80)])
def test_a_static_tree_is_cut_at_the_depth_that_can_be_emitted(depth: int, nodes: int) -> None:
    full_VK = np.arange(8, dtype=np.int32)[None].repeat(8, 0)
    assert Recycling(full_VK, recycling_tree(), True).propose([0, 1], depth).drafted == nodes
