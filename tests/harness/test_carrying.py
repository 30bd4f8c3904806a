"""A decoder that carries state from prompt to prompt gives the same alone, after another cell, and after a kill."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from arena import Talker, pairing, session

from harness.api.protocols import Meter, Setting
from harness.api.types import Example, Generate, Generated, Response
from harness.journal import RESULT, entries
from harness.pairing import Pairing
from harness.parts import resolve
from harness.runner import Finished, run_pairing
from harness.session import Shelf

pytestmark = pytest.mark.usefixtures("quick_disk")


@dataclass(frozen=True)
class Prompts:
    """`size` prompts, the longest last, which batches would ask first."""

    size: int = 5
    metrics: tuple[Any, ...] = ("exact_match",)
    door: str = "generate"

    def examples(self, split: str, seed: int, sources: Any) -> Iterator[Example]:
        for index in range(self.size):
            yield Example(f"p{index}", (Generate("x" * (index + 1), 5),), target="never")

    def data_digest(self, split: str, sources: Any) -> str:
        return f"generated:{self.size}"


@dataclass(frozen=True)
class Learning:
    """Counts the prompts that it has seen since it was prepared."""

    def prepare(self, setting: Setting, target: Any) -> Count:
        return Count()

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        return {}


@dataclass
class Count:
    """How many prompts were decoded."""

    seen: int = 0


@dataclass(frozen=True)
class Speaker(Talker):
    """Says what the decoder has seen before each prompt; stops the run at the prompt of that length."""

    stop: list[int] = field(default_factory=list)

    def load(self, setting: Setting) -> Speaker:
        return self

    def size(self, request: Generate) -> int:
        return len(str(request.source))

    def generate(
        self, requests: Sequence[Generate], *, decoder: Count, seeds: Sequence[int], meter: Meter
    ) -> list[Response]:
        found: list[Response] = []
        for request in requests:
            if len(str(request.source)) in self.stop:
                raise KeyboardInterrupt
            found.append(Generated(f"{decoder.seen} before", tokens=(decoder.seen,), finished="eos"))
            decoder.seen += 1
        return found


def cell(**changes: Any) -> Pairing:
    return replace(pairing(Prompts(), Speaker(), Learning()), **({"carries": True} | changes))


def told(finished: Finished) -> dict[str, str]:
    return {entry.id: entry.responses[0].text for _, entry in entries(finished.folder)}


EXPECTED = {f"p{index}": f"{index} before" for index in range(5)}


@pytest.mark.parametrize("warm_up", [False, True])
@pytest.mark.parametrize("batch_requests", [1, 128])
def test_prompts_are_asked_one_by_one_in_the_tasks_order(tmp_path: Path, warm_up: bool, batch_requests: int) -> None:
    found = run_pairing(cell(), session(tmp_path, warm_up=warm_up, batch_requests=batch_requests))
    assert told(found) == EXPECTED
    assert found.result.timings["requests_a_batch"] == 1


def test_a_cell_gives_the_same_after_another_one_with_the_same_model(tmp_path: Path) -> None:
    shelf = Shelf()
    first = run_pairing(cell(task=Prompts(3)), session(tmp_path, warm_up=True), shelf)
    assert told(first) == {f"p{index}": f"{index} before" for index in range(3)}
    assert told(run_pairing(cell(), session(tmp_path, warm_up=True), shelf)) == EXPECTED


def test_a_run_that_was_killed_begins_anew_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_pairing(cell(model=Speaker(stop=[3])), session(tmp_path))
    found = run_pairing(cell(), session(tmp_path, announce=said.append))
    assert told(found) == EXPECTED
    assert said == [
        "arena/task x arena/model + arena/decoder: its decoder learns from prompt to prompt, so it begins anew."
    ]
    assert len(list(entries(found.folder))) == 5


def test_a_finished_run_is_reused_and_one_without_its_result_is_not_resumed(tmp_path: Path) -> None:
    first = run_pairing(cell(), session(tmp_path))
    assert run_pairing(cell(), session(tmp_path)).reused
    (first.folder / RESULT).unlink()
    assert told(run_pairing(cell(), session(tmp_path))) == EXPECTED


def test_a_decoder_that_carries_nothing_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_pairing(cell(carries=False, model=Speaker(stop=[3])), session(tmp_path, batch_requests=1, batch_tokens=1))
    found = run_pairing(cell(carries=False), session(tmp_path, batch_requests=1, batch_tokens=1))
    # the second session's decoder has seen what was left alone
    assert sorted(told(found).values()) == ["0 before", "0 before", "1 before", "1 before", "2 before"]


def test_a_spec_carries_what_any_of_its_parts_carries() -> None:
    assert resolve("decoder", "token_recycling:start=hot").carries
    assert resolve("decoder", "best_of:inner=(token_recycling:start=hot)").carries
    assert not resolve("decoder", "token_recycling").carries
    assert not resolve("decoder", "best_of").carries
