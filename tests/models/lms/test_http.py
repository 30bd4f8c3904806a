"""A served model: answers, and everything that a server can do wrong, against a real server process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.protocols import SilentMeter
from harness.api.types import Failure, Generate, Generated, Response, Score, Scored, Turn
from harness.models.lms._alignment import align
from harness.models.lms.http import Http, ServedModel

SECRET = "sk-very-secret-0123456789"
METER = SilentMeter()


def started(key: str = "") -> tuple[subprocess.Popen[str], str]:
    script = Path(__file__).with_name("completion_server.py")
    process = subprocess.Popen(
        [sys.executable, "-S", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SERVER_KEY": key},
    )
    assert process.stdout is not None
    return process, f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"


def ended(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=10)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    process, address = started()
    yield address
    ended(process)


@pytest.fixture
def waits() -> list[float]:
    return []


def connected(url: str, waits: list[float], name: str = "normal", **parameters: object) -> ServedModel:
    settings = {"timeout": 5.0, "retries": 3, **parameters}
    return Http(url=url, model=name, **settings).connect(waits.append)  # type: ignore[arg-type]


def generated(model: ServedModel, *texts: str, stop: tuple[str, ...] = ()) -> list[Response]:
    requests = [Generate(text, 8, stop=stop) for text in texts]
    return model.generate(requests, decoder=None, seeds=list(range(len(texts))), meter=METER)


def failure(response: Response) -> str:
    assert isinstance(response, Failure), response
    return response.error


def test_no_request_is_no_answer(url: str, waits: list[float]) -> None:
    assert generated(connected(url, waits)) == []
    assert connected(url, waits).score([], meter=METER) == []


def test_answers_come_in_the_order_of_the_requests(url: str, waits: list[float]) -> None:
    texts = [f"text {number}" for number in range(30)]
    answers = generated(connected(url, waits, concurrency=7), *texts)
    assert [answer.text for answer in answers if isinstance(answer, Generated)] == [text.upper() for text in texts]
    with urllib.request.urlopen(url.removesuffix("/v1") + "/count") as answer:
        assert 1 < json.load(answer)["most_open"] <= 7
    assert waits == []


def test_a_chat_endpoint_gets_the_turns(url: str, waits: list[float]) -> None:
    model = connected(url, waits, api="chat")
    shots = (("2+2", "4"),)
    asked = Generate((Turn("user", "3+3"),), 8, instruction="Add.", shots=shots)
    (answer,) = model.generate([asked], decoder=None, seeds=[0], meter=METER)
    assert isinstance(answer, Generated)
    assert answer.text == "system: Add. | user: Add.\n\n2+2 | assistant: 4 | user: 3+3"
    assert (answer.prompt_tokens, answer.extra["completion_tokens"], answer.finished) == (4, 2.0, "eos")


def test_text_is_cut_at_the_first_stop_string(url: str, waits: list[float]) -> None:
    (answer,) = generated(connected(url, waits, "kept"), "count", stop=("three", "\n"))
    assert isinstance(answer, Generated)
    assert (answer.text, answer.finished) == ("one", "stop")
    (answer,) = generated(connected(url, waits, "kept"), "count")
    assert isinstance(answer, Generated)
    assert (answer.text, answer.finished) == ("one\ntwo\nthree", "length")


def test_an_array_is_no_prompt(url: str, waits: list[float]) -> None:
    requests = [Generate(np.zeros((3, 2)), 4), Generate("a", 4)]
    first, second = connected(url, waits).generate(requests, decoder=None, seeds=[0, 1], meter=METER)
    assert "takes text" in failure(first)
    assert isinstance(second, Generated)


@pytest.mark.parametrize(("name", "scores"), [("normal", "echo"), ("bos", "echo"), ("vllm", "prompt_logprobs")])
def test_scores_are_those_of_the_continuations_tokens(url: str, waits: list[float], name: str, scores: str) -> None:
    model = connected(url, waits, name, scores=scores)
    (answer,) = model.score([Score("The cat", " sat down")], meter=METER)
    assert answer == Scored((-0.4, -0.5), ((0, 4), (4, 9)), greedy=True)


def test_a_token_across_the_border_belongs_to_the_continuation(url: str, waits: list[float]) -> None:
    model = connected(url, waits)
    (answer,) = model.score([Score("The ca", "t sat")], meter=METER)
    assert answer == Scored((-0.4, -0.4), ((0, 1), (1, 5)), greedy=True)
    (answer,) = model.score([Score("The ", "cat")], meter=METER)
    assert answer == Scored((-0.4,), ((0, 3),), greedy=True)


def test_a_text_without_context_needs_a_token_before_it(url: str, waits: list[float]) -> None:
    assert "set prefix=" in failure(connected(url, waits).score([Score("", "The cat")], meter=METER)[0])
    (answer,) = connected(url, waits, "bos").score([Score("", "The cat")], meter=METER)
    assert answer == Scored((-0.3, -0.4), ((0, 3), (3, 7)), greedy=True)
    for prefix, context in (("<s> ", ""), ("<s>", " ")):
        (answer,) = connected(url, waits, prefix=prefix).score([Score(context, "The cat")], meter=METER)
        assert answer == Scored((-0.4, -0.4), ((0, 3), (3, 7)), greedy=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("short", "6 log-probabilities for 8 tokens|4 log-probabilities for 6 tokens"),
        ("truncated", "do not spell"),
        ("gap", "no finite log-probability"),
        ("infinite", "no finite log-probability"),
        ("nonsense", "sent no JSON"),
        ("empty", "no choice"),
        ("kept", "no log-probabilities of the prompt"),
    ],
)
def test_missing_log_probabilities_are_a_failure(url: str, waits: list[float], name: str, words: str) -> None:
    (answer,) = connected(url, waits, name).score([Score("The cat", " sat on the")], meter=METER)
    assert any(word in failure(answer) for word in words.split("|"))


def test_an_empty_continuation_is_not_sent(url: str, waits: list[float]) -> None:
    assert "nothing to score" in failure(connected(url, waits).score([Score("a", "")], meter=METER)[0])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nonsense", "sent no JSON"),
        ("list", "JSON list, not an object"),
        ("empty", "no choice"),
        ("refuses", "HTTP 400"),
        ("moved", "HTTP 302"),
    ],
)
def test_an_answer_that_makes_no_sense_is_not_asked_for_twice(
    url: str, waits: list[float], name: str, words: str
) -> None:
    (answer,) = generated(connected(url, waits, name), "a")
    assert words in failure(answer)
    assert failure(answer).isprintable()
    assert waits == []


def test_retry_after_is_honoured_in_seconds_and_as_a_date(url: str, waits: list[float]) -> None:
    assert isinstance(generated(connected(url, waits, "busy"), "a")[0], Generated)
    assert waits == [7.0, 7.0]
    waits.clear()
    assert isinstance(generated(connected(url, waits, "dated"), "a")[0], Generated)
    assert waits == [11.0]


@pytest.mark.parametrize("name", ["fraction", "milliseconds"])
def test_a_fraction_of_a_second_is_waited_for_in_full(url: str, waits: list[float], name: str) -> None:
    assert isinstance(generated(connected(url, waits, name), "a")[0], Generated)
    assert waits == [2.6]


@pytest.mark.parametrize(
    ("name", "api", "words"),
    [
        ("filter", "completions", "finish_reason is 'content_filter'"),
        ("abort", "completions", "finish_reason is 'abort'"),
        ("silent", "chat", "no text before max_new_tokens were spent"),
    ],
)
def test_what_a_server_did_not_answer_is_a_failure(
    url: str, waits: list[float], name: str, api: str, words: str
) -> None:
    assert words in failure(generated(connected(url, waits, name, api=api), "a")[0])


@pytest.mark.parametrize("name", ["normal", "torn", "blank"])
def test_the_generated_token_is_never_scored_however_it_is_spelled(url: str, waits: list[float], name: str) -> None:
    (answer,) = connected(url, waits, name).score([Score("The cat", " sat down")], meter=METER)
    assert isinstance(answer, Scored)
    assert answer.logprobs == (-0.4, -0.5)


def test_parts_of_characters_on_both_sides_of_the_border_are_told_apart(url: str, waits: list[float]) -> None:
    # 2 bytes of context, 3 of continuation, each a token spelled as U+FFFD
    (answer,) = connected(url, waits, "halves").score([Score("é", "日")], meter=METER)
    assert isinstance(answer, Scored)
    assert answer.logprobs == (-2.0, -3.0, -4.0)
    assert answer.spans == ((0, 1), (0, 1), (0, 1))


def test_whether_the_last_part_of_a_character_was_generated_is_not_guessed(url: str, waits: list[float]) -> None:
    (answer,) = connected(url, waits, "uncounted").score([Score("é", "日")], meter=METER)
    assert "leave open which of them" in failure(answer)
    (answer,) = connected(url, waits, "uncounted").score([Score("é", "日a")], meter=METER)
    assert isinstance(answer, Scored)
    assert answer.logprobs == (-2.0, -3.0, -4.0, -5.0)


def test_an_address_without_its_version_says_so(url: str, waits: list[float]) -> None:
    model = connected(url.removesuffix("/v1") + "/bare", waits, "anything")
    assert "does url= lack its /v1?" in failure(generated(model, "a")[0])


def test_a_server_that_asks_for_a_day_is_not_waited_for(url: str, waits: list[float]) -> None:
    assert "86400 s of patience" in failure(generated(connected(url, waits, "patience"), "a")[0])
    assert waits == []


def test_waits_double_with_a_jitter_that_repeats(url: str, waits: list[float]) -> None:
    error = failure(generated(connected(url, waits, "broken"), "a")[0])
    assert "4 tries" in error
    assert "HTTP 500" in error
    assert len(waits) == 3
    assert all(0.25 * 2**turn <= wait <= 0.5 * 2**turn for turn, wait in enumerate(waits))
    again: list[float] = []
    generated(connected(url, again, "broken"), "a")
    assert again == waits


@pytest.mark.parametrize("name", ["slow", "drip"])
def test_a_slow_server_is_given_up_after_the_time_out(url: str, waits: list[float], name: str) -> None:
    model = connected(url, waits, name, timeout=0.2, retries=1)
    assert "no whole answer in 0.2 s" in failure(generated(model, "a")[0])
    assert len(waits) == 1


def test_an_answer_that_breaks_off_is_asked_for_again(url: str, waits: list[float]) -> None:
    assert isinstance(generated(connected(url, waits, "cut"), "a")[0], Generated)
    assert len(waits) == 1


def test_a_server_that_dies_half_way_leaves_failures_and_the_answers_before(waits: list[float]) -> None:
    process, address = started()
    model = connected(address, waits, "dies", concurrency=1, retries=1)
    answers = generated(model, *"abcdef")
    assert [type(answer).__name__ for answer in answers] == ["Generated"] * 2 + ["Failure"] * 4
    assert "gave no answer in 2 tries" in failure(answers[-1])
    ended(process)
    with pytest.raises(DataError, match="gave no answer in 2 tries"):
        connected(address, waits, "dies", retries=1)


def test_a_key_reaches_the_server_and_nothing_else(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    process, address = started(SECRET)
    with pytest.raises(DataError, match="HTTP 401"):
        connected(address, waits)
    monkeypatch.setenv("MY_KEY", SECRET)
    model = connected(address, waits, "refuses", key="MY_KEY")
    error = failure(generated(model, "a")[0])
    assert "Bearer [key]" in error
    card = Http(url=address, model="refuses", key="MY_KEY")
    for shown in (error, repr(model), repr(card), str(model.identity), str(vars(model)["_endpoint"])):
        assert SECRET not in shown
    monkeypatch.setenv("MY_KEY", "wrong" + SECRET)
    with pytest.raises(DataError) as caught:
        connected(address, waits, key="MY_KEY")
    assert SECRET not in str(caught.value)
    ended(process)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"key": SECRET}, "NAME of an environment variable"),
        ({"concurrency": 0}, "at least 1"),
        ({"timeout": 0.0}, "above 0"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        Http(url="http://127.0.0.1:9/v1", model="m", **parameters)  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8000", "ftp://host/v1", "http://me:word@host/v1", "http://host/v1?k=1", "http://h:p/v1"]
)
def test_an_address_that_cannot_be_used_or_shown_is_refused(url: str, waits: list[float]) -> None:
    with pytest.raises(UsageError, match="url"):
        connected(url, waits)


def test_a_key_that_no_header_may_carry_is_refused_unseen(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret\nX-Other: 1")
    with pytest.raises(UsageError, match="line breaks") as caught:
        connected("http://127.0.0.1:9/v1", waits, key="MY_KEY")
    assert "secret" not in str(caught.value)


def test_an_environment_variable_that_is_not_set_is_an_error(waits: list[float]) -> None:
    with pytest.raises(DataError, match="not set"):
        connected("http://127.0.0.1:9/v1", waits, key="SURELY_UNSET_KEY")


def test_a_model_that_is_not_served_is_refused_with_those_that_are(url: str, waits: list[float]) -> None:
    with pytest.raises(DataError, match="has no model 'gpt-9'; it has normal, busy"):
        connected(url, waits, "gpt-9")


def test_a_server_without_a_list_of_models_is_used_all_the_same(url: str, waits: list[float]) -> None:
    model = connected(url.removesuffix("/v1") + "/bare", waits, "anything")
    assert model.identity["context_length"] == "unknown"
    assert connected(url, waits).identity["context_length"] == 2048


def test_a_spec_with_an_address_is_read() -> None:
    card = registry.create("model", "lms/http:url=http://127.0.0.1:8000/v1,model=smol,timeout=3")
    assert (card.url, card.model, card.timeout) == ("http://127.0.0.1:8000/v1", "smol", 3.0)


@pytest.mark.parametrize(
    ("text", "pieces", "spans"),
    [
        ("", [], []),
        ("ab", ["a", "b"], [(0, 1), (1, 2)]),
        ("ab", ["<s>", "a", "b"], [(0, 0), (0, 1), (1, 2)]),
        ("ab", [None, "b"], [(0, 1), (1, 2)]),
        ("ab", [None, "a", "b"], [(0, 0), (0, 1), (1, 2)]),
        ("aa", [None, "a"], [(0, 1), (1, 2)]),
        ("é!", ["\ufffd", "\ufffd", "!"], [(0, 1), (0, 1), (1, 2)]),
        ("a🙂", ["a", "bytes:\\xf0\\x9f", "bytes:\\x99\\x82"], [(0, 1), (1, 2), (1, 2)]),
        # held back until the character is whole; left out; by their bytes; after a blank
        ("é日!", ["", "é", "", "", "日", "!"], [(0, 1), (0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]),
        ("日a", ["", "", "", "a"], [(0, 1), (0, 1), (0, 1), (1, 2)]),
        ("日a", ["<0xE6>", "<0x97>", "<0xA5>", "a"], [(0, 1), (0, 1), (0, 1), (1, 2)]),
        ("a 日", ["a", " \ufffd", "\ufffd", "\ufffd"], [(0, 1), (1, 3), (2, 3), (2, 3)]),
        # U+FFFD of the text itself, and a special token that has no spelling
        ("a\ufffdb", ["a", "\ufffd", "b"], [(0, 1), (1, 2), (2, 3)]),
        ("ab", ["a", "", "b"], [(0, 1), (1, 1), (1, 2)]),
        ("ab", ["a"], None),
        ("ab", ["a", "b", "c"], None),
        ("ab", ["a", "x"], None),
        ("ab", [], None),
    ],
)
def test_tokens_are_aligned_with_the_text(text: str, pieces: list[str | None], spans: object) -> None:
    assert align(text, pieces) == spans


def test_a_spelling_that_leaves_the_border_open_is_no_alignment() -> None:
    # three bytes in two tokens after two bytes in two: either may hold the second byte of the other's character
    text, pieces = "日本", ["", "", "", "本"]
    assert align(text, pieces) is not None
    assert align(text, pieces, 1) is None
    assert align(text, ["", "", "日", "本"], 1) == [(0, 1), (0, 1), (0, 1), (1, 2)]


@pytest.mark.parametrize("style", ["replace", "ignore"])
def test_every_cut_of_a_text_into_bytes_is_aligned_or_left_open_and_never_wrong(style: str) -> None:
    rng, checked = np.random.default_rng(0), 0
    for _ in range(300):
        letters = rng.choice(list("ab é日🙂\u0928"), size=6)
        text, border = "".join(letters), int(rng.integers(1, 5))
        data, edge = text.encode(), len(text[:border].encode())
        cuts = [0, *sorted(set(rng.integers(1, len(data), size=5).tolist())), len(data)]
        pieces = [data[a:b].decode("utf-8", style) for a, b in pairwise(cuts)]
        spans = align(text, pieces, border)
        if spans is not None:
            checked += 1
            assert [end > border for _, end in spans] == [end > edge for end in cuts[1:]], (text, pieces)
    assert checked > 190
