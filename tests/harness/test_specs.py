"""A spec can name whatever a file system can, comes back as it was written, and never carries a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.api import registry, secrets
from harness.api.errors import UsageError

URL = "lms/http:url=http://127.0.0.1:9/v1,model=m"
# none of them was ever valid
KEYS = (
    "sk-proj-0123456789abcdef0123",
    "hf_abcdefghijklmnopqrstuvwx",
    "ghp_abcdefghijklmnopqrst0123456789",
    "AKIAABCDEFGHIJKLMNOP",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("a,b", None),
        ("(a,b)", "a,b"),
        ("'a,b'", "a,b"),
        ('"a,b"', "a,b"),
        ("'a(b'", "a(b"),
        ("'it''s, so'", "it's, so"),
        ("it's", "it's"),
        ("()", ""),
        ("''", ""),
        ("' a '", " a "),
        ("'", "'"),
        ("('a')", "'a'"),
    ],
)
def test_a_value_with_a_comma_stands_in_quotes_or_parentheses(written: str, value: str | None) -> None:
    spec = f"uea:folder={written},dataset=x"
    if value is None:
        with pytest.raises(UsageError, match="stands in quotes or parentheses"):
            registry.parse(spec)
        return
    assert registry.split_specs(f"{spec},other") == [spec, "other"]
    assert registry.parse(spec) == ("uea", {"folder": value, "dataset": "x"})


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,5}", fullmatch=True), st.text(max_size=12), min_size=1, max_size=3))
def test_every_text_comes_back_from_a_spec(parameters: dict[str, str]) -> None:
    spec = registry.format_spec("a/b", parameters)
    assert registry.parse(spec) == ("a/b", parameters)
    assert registry.split_specs(f"{spec},c") == [spec.strip(), "c"]
    # as the parameter of another spec
    outer = registry.format_spec("d", {"draft": spec, "n": "1"})
    assert registry.parse(registry.parse(outer)[1]["draft"]) == ("a/b", parameters)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("place", ["{}", "{},prefix={}", "{},draft=(lms/other:folder={})", "{},folder=/data/{}/x"])
def test_a_key_in_any_parameter_is_refused_unseen(key: str, place: str) -> None:
    with pytest.raises(UsageError, match="environment variable") as caught:
        registry.select("model", place.format(f"{URL},timeout={key}" if place == "{}" else URL, key))
    assert key not in str(caught.value)


@pytest.mark.parametrize("url", ["http://me:hunter2@host/v1", "https://hunter2@host", "http://h/v1?api_key=hunter2"])
def test_a_secret_in_any_address_is_refused_unseen(url: str) -> None:
    with pytest.raises(UsageError, match="would be written into results") as caught:
        registry.parse(f"some/plug_in:where={url}")
    assert "hunter2" not in str(caught.value)


def test_a_parameter_that_names_a_variable_takes_no_key_and_does_not_repeat_it() -> None:
    with pytest.raises(UsageError, match="key= takes the NAME") as caught:
        registry.select("model", f"{URL},key=short-1")
    assert "short-1" not in str(caught.value)
    assert registry.select("model", f"{URL},key=MY_KEY") == [f"{URL},key=MY_KEY"]


def test_what_is_shown_of_a_broken_spec_holds_no_key() -> None:
    for spec in (f"lms/http:{KEYS[0]}", f"lms/http:url=x,{KEYS[0]}", f"lms/http:x=({KEYS[0]}", f"{KEYS[0]},,b"):
        with pytest.raises(UsageError) as caught:
            registry.select("model", spec)
        assert KEYS[0] not in str(caught.value), spec


@pytest.mark.parametrize(
    "text",
    ["http://127.0.0.1:8000/v1", "sk-learn-style", "hf_hub/model", "models/sk-small", "a@b", "hf://data/x@main", "eye"],
)
def test_what_is_no_secret_passes(text: str) -> None:
    assert secrets.found(text) == ""
    assert secrets.masked(text) == text


def test_a_name_that_may_be_the_rest_of_a_value_says_how_to_quote() -> None:
    with pytest.raises(UsageError, match=r"no task named 'b'.*write that value in quotes: parameter='a,b'"):
        registry.select("task", "few_shot_series/uea:folder=a,b")
    with pytest.raises(UsageError, match=r"no task named 'b'\.$"):
        registry.select("task", "few_shot_series/uea,b")


@pytest.mark.parametrize("piece", ["a", "sk-", "eyJ", "a://", "?a-", "&key="])
def test_a_key_behind_a_long_text_is_hidden_and_the_text_is_kept(piece: str) -> None:
    # patterns whose repeats are not bounded need minutes for this
    text = piece * (60_000 // len(piece))
    assert secrets.masked(f"{text} sk-0123456789abcdefghij") == f"{secrets.masked(text)} {secrets.HIDDEN}"
