"""Does tuning follow the measured cost, and can its file be run?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from harness import tuning
from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.types import Generate
from harness.commands import tune
from harness.commands.run import with_files
from harness.models.lms._tabular import TabularModel

NOWHERE: Any = None
ASKED = [Generate("", 40)] * 3


@dataclass
class Loaded:
    """A sharp random chain: it repeats itself, so that drafts are often right."""

    lm: TabularModel
    tokenizer: Any = None

    def prompt(self, request: Generate) -> list[int]:
        return [0, 1, 2, 0, 1, 2]


def tuned(monkeypatch: pytest.MonkeyPatch, growth: float, *specs: str) -> tuning.Tuned:
    """With calls of n tokens that cost 1 + growth (n - 1) seconds."""
    monkeypatch.setattr(tuning, "call_costs", lambda lm, sizes: [(n, 1.0 + growth * (n - 1)) for n in sizes])
    return tuning.tune(Loaded(TabularModel(64, 1, seed=1, sharpness=4.0)), ASKED, specs, 40, Setting(NOWHERE))


NAMES = ("decoders/token_recycling", "decoders/prompt_lookup", "decoders/speculative:draft=ngram:2")


@pytest.mark.parametrize("name", NAMES)
def test_free_tokens_make_long_drafts_pay_and_costly_ones_do_not(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (free,), (costly,) = tuned(monkeypatch, 0.0, name).choices, tuned(monkeypatch, 3.0, name).choices
    parameter = tuning.SIZED[free.decoder][0]
    sizes = [int(registry.parse(choice.spec)[1][parameter]) for choice in (free, costly)]
    assert sizes[0] > sizes[1]
    assert free.speedup > 1.5 > costly.speedup
    best = max(free.trials, key=lambda trial: trial.speedup)
    assert (best.size, best.speedup) == (sizes[0], free.speedup)


def test_the_tree_is_shaped_by_the_ranks_that_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    (choice,) = tuned(monkeypatch, 0.1, "decoders/token_recycling").choices
    hits = [int(hit) for hit in registry.parse(choice.spec)[1]["hits"].split("+")]
    # on a chain of order one the target's first candidate of a token is always the next one
    assert hits[0] == 1000
    assert hits[1:] == [1] * 7


def test_a_choice_keeps_what_the_spec_said_and_builds_a_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    (choice,) = tuned(monkeypatch, 0.1, "decoders/prompt_lookup:ngram=2").choices
    made = registry.create("decoder", choice.spec)
    assert made.ngram == 2


def test_the_file_of_a_tuning_is_read_by_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    found = tuned(monkeypatch, 0.1, *NAMES)
    file = tmp_path / "tuned.txt"
    file.write_text(tune._file(found, "lms/x", "cpu"))
    specs = registry.select("decoder", with_files(f"greedy,@{file}"))
    assert specs == ["decoders/greedy", *(choice.spec for choice in found.choices)]


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        with_files(f"@{tmp_path / 'no.txt'}")


def test_costs_are_measured_for_every_size() -> None:
    costs = tuning.call_costs(TabularModel(8, 1, seed=0), [1, 2, 5])
    assert [size for size, _ in costs] == [1, 2, 5]
    assert all(seconds > 0 for _, seconds in costs)
