"""Do the scripts of benchmarks/zoo count what they say?"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import sources
from harness.api import registry
from harness.models.sequence._learner import Facts

ZOO = Path(__file__).resolve().parents[2] / "benchmarks" / "zoo"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A script of the folder, as it sees itself when run."""
    monkeypatch.syspath_prepend(str(ZOO))
    return importlib.import_module


def test_the_exponent_of_a_square_is_two_whatever_the_rounds(script: Any) -> None:
    lengths = np.array([512, 1024, 4096])
    value, (low, high) = script("_timed").exponent(lengths, np.outer([1.0, 1.0, 1.0], 3e-9 * lengths**2))
    assert (value, low, high) == pytest.approx((2.0, 2.0, 2.0))


def test_one_slow_round_does_not_move_the_exponent_but_widens_its_interval(script: Any) -> None:
    seconds_RL = np.outer(np.ones(3), [1.0, 2.0, 4.0])
    seconds_RL[0, 2] = 40.0
    value, (low, high) = script("_timed").exponent([1, 2, 4], seconds_RL)
    assert value == pytest.approx(1.0)
    assert low == pytest.approx(1.0)
    assert high > 2.0


def test_a_ratio_is_of_medians(script: Any) -> None:
    value, interval = script("_timed").ratio(np.array([4.0, 4.0, 400.0]), np.array([2.0, 2.0, 2.0]))
    assert value == 2.0
    assert interval[0] == 2.0
    assert interval[1] == 200.0


def test_every_work_is_timed_once_a_round_and_once_before(script: Any) -> None:
    calls: list[str] = []
    taken = script("_timed").timed({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert {name: len(item) for name, item in taken.items()} == {"a": 2, "b": 2}


def test_a_bound_is_met_or_missed_and_no_bound_says_nothing(script: Any) -> None:
    wanted = script("_grid").Wanted
    assert wanted("m", at_least=0.99).verdict(0.99) == "as claimed"
    assert wanted("m", at_least=0.99).verdict(0.98) == "NOT AS CLAIMED"
    assert wanted("m", at_most=0.6).verdict(0.61) == "NOT AS CLAIMED"
    assert wanted("m").verdict(0.0) == ""


def test_models_are_chosen_by_their_bare_names(script: Any) -> None:
    grid = script("_grid")
    wanted = [grid.Wanted("sequence/lstm:width=32"), grid.Wanted("sequence/slstm:width=32")]
    assert grid.chosen(wanted, "lstm") == wanted[:1]
    assert grid.chosen(wanted, "") == wanted


def test_the_longest_solved_length_ends_at_the_first_failure(script: Any) -> None:
    longest = script("state_collapse").longest_solved
    assert longest({64: 0.5, 128: 1.0}) == 0
    assert longest({256: 1.0, 64: 1.0, 128: 0.95}) == 64
    assert longest({64: 1.0, 128: 0.96}) == 128


def test_a_median_is_over_the_seeds_of_one_size_and_remedy(script: Any) -> None:
    rows = [[4, 0, "none", "1.0", 64], [4, 1, "none", "1.0", 128], [4, 2, "none", "1.0", 512], [8, 0, "none", "1.0", 0]]
    grown = [[4, 0, "none", 1.0], [4, 1, "none", 3.0], [4, 2, "none", 2.0], [8, 0, "none", 5.0]]
    assert script("state_collapse").medians(rows, grown) == [[4, "none", "128", "2.00"], [8, "none", "0", "5.00"]]


def test_norms_are_those_of_the_state_after_each_mark(script: Any) -> None:
    torch.manual_seed(0)
    facts = Facts("label", 3, 5, per_position=True, longest=8)
    network = registry.create("model", "sequence/mamba2:width=8,depth=1,states=4").network(facts).eval()
    tokens = torch.randint(5, (2, 8))
    with torch.inference_mode():
        found = script("state_collapse").norms(network, tokens, [3, 8])
        _, (state,) = network(tokens)
    assert found[1][0] == pytest.approx(state["memory"].flatten(2).norm(dim=-1), rel=1e-5)
    assert len(found) == 2


def test_a_remedy_that_never_acts_changes_no_answer(script: Any) -> None:
    torch.manual_seed(0)
    facts = Facts("label", 3, 5, per_position=True, longest=8)
    entry = registry.create("model", "sequence/mamba2:width=8,depth=1,states=4,ceiling_every=2")
    fitted = importlib.import_module("harness.models.sequence._learner").FittedSequence(
        entry.network(facts).eval(), facts, "cpu"
    )
    tokens = torch.randint(5, (2, 8))
    change = script("state_collapse").changed
    with torch.inference_mode():
        plain = fitted.network(tokens)[0]
        assert change(entry, fitted, ceiling=(1e6,)).network(tokens)[0] == pytest.approx(plain, abs=1e-7)
        assert float((change(entry, fitted, ceiling=(1e-6,)).network(tokens)[0] - plain).abs().max()) > 1e-6


def test_every_text_of_the_corpus_reads_its_list_twice_in_the_tasks_frame_and_in_other_words(script: Any) -> None:
    noun_list = script("noun_list")
    trials = list(registry.create("task", noun_list.TASK).examples("test", 0, sources.from_environment(print)))
    before, between = noun_list.frame(trials[0])
    assert trials[0].requests[0].context + trials[0].requests[0].continuation == (
        f"{before}{', '.join(nouns(trials[0], 'first'))}{between}{', '.join(nouns(trials[0], 'second'))}."
    )
    texts = noun_list.corpus(trials, 0, 40).split("\n\n")
    assert len(texts) == 40
    assert texts == noun_list.corpus(trials, 0, 40).split("\n\n")
    asked = {noun for trial in trials for noun in nouns(trial, "first")}
    for text in texts:
        first, second = text.removeprefix(before).removesuffix(".").split(between)
        assert first == second
        assert 3 <= len(first.split(", ")) <= 7
        assert not asked & set(first.split(", "))


def nouns(trial: Any, which: str) -> list[str]:
    return [trial.requests[0].continuation[start:end] for start, end in trial.target[which]]


def test_a_fit_is_kept_and_asked_of_a_longer_test(script: Any, tmp_path: Path) -> None:
    fits = script("_fitted")
    task, spec = "long_range/parity:length=4,train=8,validation=4,test=3", "sequence/gru:width=8,depth=1"
    first = fits.fitted(spec, task, seed=0, steps=2, out=tmp_path)
    again = fits.fitted(spec, task, seed=0, steps=2, out=tmp_path)
    assert len(list(tmp_path.rglob("checkpoint.safetensors"))) == 1
    assert torch.equal(first.network.head.weight, again.network.head.weight)
    right = fits.hits(fits.answers(first, f"{task},test_length=9,first=5", seed=0))
    assert right.shape == (3,)
    assert set(right * 4) <= {0.0, 1.0, 2.0, 3.0, 4.0}


def test_the_area_is_the_share_of_pairs_in_order(script: Any) -> None:
    area = script("arrows").area
    assert area([3.0, 2.0, 1.0], [1, 1, 0]) == 1.0
    assert area([1.0, 2.0, 1.0], [1, 0, 0]) == 0.25
    assert area([5.0, 5.0], [0, 1]) == 0.5


def test_the_moving_average_is_the_same_with_its_kernel_kept_or_generated(script: Any) -> None:
    sides = script("convolutions").sides(50, backward=False)
    assert sides["fourier"]() == pytest.approx(sides["generated"](), abs=1e-5)
    assert sides["dilated"]().shape == (1, 50, 64)


@pytest.mark.parametrize("name", ["transformer", "aaren", "lstm", "mamba2"])
def test_a_stream_holds_the_bytes_that_the_model_states(script: Any, name: str) -> None:
    facts = Facts("label", 4, 4, per_position=True, longest=8)
    network = registry.create("model", f"sequence/{name}:width=16,depth=1").network(facts).eval()
    with torch.inference_mode():
        seconds, sizes = script("streaming").stream(network, torch.randint(4, (8,)), (2, 8))
    assert sizes == [network.state_bytes(2), network.state_bytes(8)]
    assert 0 < seconds[0] < seconds[1]


def test_a_filled_cache_is_as_large_as_one_that_was_read(script: Any) -> None:
    facts = Facts("label", 4, 4, per_position=True, longest=64)
    decoding = script("decoding")
    for name in ("xlstm", "transformer"):
        network = registry.create("model", f"sequence/{name}:width=16,depth=1").network(facts).eval()
        with torch.inference_mode():
            held = (
                decoding.states_after(name, network, 40)
                if name == "transformer"
                else network.start(1, torch.device("cpu"), torch.float32)
            )
        assert decoding.held_bytes(held) == network.state_bytes(40)
