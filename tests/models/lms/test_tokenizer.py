"""What does a folder's tokenizer add, name and render? As transformers does, or one line that says why not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer

from harness.api.errors import DataError
from harness.api.types import Turn
from harness.models.lms import _template
from harness.models.lms._tokenizer import FolderTokenizer

TURNS = (
    Turn("system", "Be brief."),
    Turn("user", '1 < 2 & "naïve"?'),
    Turn("assistant", "Yes. "),
    Turn("user", "Why?"),
)
# the constructs that templates of the hub use, each as in one of them
TEMPLATES = {
    "plain": "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m.content | trim }}{{ eos_token }}{% endfor %}",
    "tojson": "{% for m in messages %}{{ m.content | tojson }}{{ m | tojson(indent=1) }}{% endfor %}",
    "no tools": "{% if tools is not none %}tools{% endif %}{% if documents is defined %}documents{% endif %}",
    "generation": "{% for m in messages %}\n{% generation %}\n{{ m.content }}\n{% endgeneration %}\n{% endfor %}",
    "loop controls": "{% for m in messages %}{% if loop.index == 2 %}{% continue %}{% endif %}{{ m.role }}{% endfor %}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
    "macro": "{% macro one(m) %}[{{ m.role }}]{% endmacro %}{% for m in messages %}{{ one(m) }}{% endfor %}",
    "slices": "{% for m in messages[1:] %}{{ loop.index0 }}{{ m.content.split('?')[0] }}{% endfor %}",
    "absent tokens": "{% if cls_token is defined %}cls{% endif %}{{ pad_token }}",
    "blank lines": "  {% if add_generation_prompt %}\n    assistant\n  {% endif %}\n",
}


def folder(path: Path, config: dict[str, Any], **files: str) -> Path:
    engine = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2, "<s>": 3, "</s>": 4}, merges=[("a", "b")]))
    engine.add_special_tokens(["<s>", "</s>"])
    engine.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | config))
    for name, text in files.items():
        (path / f"{name}.json").write_text(text)
    return path


def refusal(path: Path, template: str, turns: Sequence[Turn] = TURNS) -> str:
    with pytest.raises(ValueError) as caught:
        FolderTokenizer(folder(path, {"chat_template": template})).chat(turns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_rendered_as_transformers_renders_it(tmp_path: Path, name: str) -> None:
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    place = folder(tmp_path, {"chat_template": TEMPLATES[name]} | tokens)
    messages = [{"role": turn.role, "content": turn.text} for turn in TURNS]
    expected = AutoTokenizer.from_pretrained(place).apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    assert FolderTokenizer(place).chat(TURNS) == expected


def test_today_is_always_the_same_day(tmp_path: Path) -> None:
    place = folder(tmp_path, {"chat_template": "{{ strftime_now('%d %b %Y') }}"})
    assert FolderTokenizer(place).chat(TURNS) == "26 Jul 2024"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "not done after 1 s"),
        ("{{ 9 ** (9 ** 9) }}", "not done after 1 s"),
        ("{{ ('a' * 6000000000) | length }}", "too much memory"),
        ("{{ '%9999999999s' | format('a') }}", "too much memory"),
        ("{{ 'a' * 20000000 }}", "wrote 20000000 characters"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ '%s %s' | format }}", "TypeError: not enough arguments"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "calls itself without end"),
        ("{% if %}", "Expected an expression"),
        ("{{ raise_exception('roles must\nalternate') }}", "roles must alternate"),
        ("{{ messages.clear() }}", "unsafe"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{% include 'other' %}", "no loader"),
    ],
)
def test_a_template_that_breaks_is_refused_within_bounds(
    tmp_path: Path, template: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_template, "SECONDS", 1)
    assert said in refusal(tmp_path, template)


def test_a_conversation_after_one_that_was_stopped_is_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_template, "SECONDS", 1)
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    text = "{% if messages[0].content == 'stop' %}" + endless + "{% endif %}{{ messages[0].content }}"
    tokenizer = FolderTokenizer(folder(tmp_path, {"chat_template": text}))
    assert tokenizer.chat([Turn("user", "first")]) == "first"
    with pytest.raises(ValueError, match="was stopped"):
        tokenizer.chat([Turn("user", "stop")])
    assert tokenizer.chat([Turn("user", "third \ud800")]) == "third \ud800"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_process_renders_in_a_process_of_its_own(tmp_path: Path) -> None:
    tokenizer = FolderTokenizer(folder(tmp_path, {"chat_template": "{{ messages[0].content }}"}))
    assert tokenizer.chat([Turn("user", "parent")]) == "parent"
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, tokenizer.chat([Turn("user", "child")]).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    assert os.read(read, 99) == b"child"
    os.close(read)
    assert tokenizer.chat([Turn("user", "parent again")]) == "parent again"


@pytest.mark.parametrize(("older", "bos"), [(False, 3), (True, 4)])
def test_special_tokens_come_from_where_transformers_takes_them(tmp_path: Path, older: bool, bos: int) -> None:
    # a file of today lists its added tokens, and then the map beside it is not read
    config: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": TEMPLATES["plain"]}
    if not older:
        config["added_tokens_decoder"] = {
            "3": {"content": "<s>", "special": True},
            "4": {"content": "</s>", "special": True},
        }
    place = folder(tmp_path, config, special_tokens_map=json.dumps({"bos_token": {"content": "</s>"}}))
    tokenizer = FolderTokenizer(place)
    assert (tokenizer.bos, tokenizer.eos) == (bos, 4)
    theirs = AutoTokenizer.from_pretrained(place)
    assert theirs.bos_token_id == bos
    assert tokenizer.chat(TURNS[:1]) == theirs.apply_chat_template(
        [{"role": "system", "content": "Be brief."}], tokenize=False
    )


@pytest.mark.parametrize(
    "model",
    [
        {"continuing_subword_prefix": "x" * 10},
        {"continuing_subword_prefix": "x", "merges": [["a", ""]], "vocab": {"a": 0, "": 1}},
        {"continuing_subword_prefix": "##", "merges": ["a b"]},
        # this one is no panic but ends the process: the cut falls into the letter
        {"continuing_subword_prefix": "x", "merges": [["a", "é"]], "vocab": {"a": 0, "é": 1, "aé": 2}},
    ],
)
def test_merges_that_make_the_library_panic_are_refused(tmp_path: Path, model: dict[str, Any]) -> None:
    place = folder(tmp_path, {})
    stored = json.loads((place / "tokenizer.json").read_text())
    stored["model"] |= model
    (place / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(DataError, match="does not continue with"):
        FolderTokenizer(place)


def test_merges_that_carry_their_prefix_are_read(tmp_path: Path) -> None:
    vocabulary = {"a": 0, "##b": 1, "##c": 2, "##bc": 3, "abc": 4}
    Tokenizer(
        models.BPE(vocab=vocabulary, merges=[("##b", "##c"), ("a", "##bc")], continuing_subword_prefix="##")
    ).save(str(tmp_path / "tokenizer.json"))
    assert FolderTokenizer(tmp_path).encode("abc")[0] == [4]


def test_a_panic_at_the_first_text_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    place = folder(tmp_path, {})
    stored = json.loads((place / "tokenizer.json").read_text())
    # a post-processor that names a token which it does not list
    stored["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<gone>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {},
    }
    (place / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(DataError, match="not a tokenizer file that can be used"):
        FolderTokenizer(place)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("tokenizer.json", "[1]", "a JSON list where an object"),
        ("tokenizer.json", '{"model": null}', "has no object 'model'"),
        ("tokenizer.json", "[" * 100_000, "not valid JSON"),
        ("tokenizer_config.json", '"text"', "a JSON str where an object"),
        ("tokenizer_config.json", '{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        ("tokenizer_config.json", '{"chat_template": 3}', "chat_template is int"),
        ("special_tokens_map.json", "{", "not valid JSON"),
    ],
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, name: str, text: str, said: str) -> None:
    place = folder(tmp_path, {})
    (place / name).write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        FolderTokenizer(place)
    assert name in str(caught.value)


def test_the_tokens_behind_a_text_are_counted_whatever_they_are(checkpoint: Callable[..., Path]) -> None:
    for options, open_ids in ({"adds_eos": True}, []), ({"adds_bos": True, "adds_eos": True}, [0]), ({}, []):
        tokenizer = FolderTokenizer(checkpoint("llama", **options))
        ids, spans = tokenizer.encode("cat", goes_on=True)
        bare, _ = tokenizer.encode("cat", special=False)
        assert ids == [*open_ids, *bare]
        assert len(spans) == len(ids)
        assert tokenizer.encode("", goes_on=True)[0] == open_ids
