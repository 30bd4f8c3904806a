"""What is peculiar to the translation tasks: real rows, the hub's schema, and files as people really have them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.types import Generated
from harness.sources import DataSources, data_root
from harness.tasks.translation.ntrex import _data

OFFLINE = DataSources(None, online=False)
NFC, NFD = "F\u00e4hre", "Fa\u0308hre"


def local() -> DataSources:
    root = data_root()
    if root is None or not (root / "multi30k").is_dir():
        pytest.skip("the data folder is absent")
    return DataSources(root, online=False)


def parallel(folder: Path, **files: bytes):
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    return registry.create("task", f"translation/parallel:folder={folder}")


def read(task, split: str = "test"):
    return list(task.examples(split, 0, DataSources(None, online=False)))


class TestFilesOfOnesOwn:
    def test_files_of_different_length_are_refused_with_both_lengths(self, tmp_path):
        task = parallel(tmp_path, test_en=b"one\ntwo\nthree\n", test_de=b"eins\nzwei\n")
        with pytest.raises(DataError, match=r"3 lines .* 2"):
            read(task)

    def test_blank_references_and_sources_stay_examples(self, tmp_path):
        examples = read(parallel(tmp_path, test_en=b"one\n\nthree\n", test_de=b"eins\nzwei\n\n"))
        assert [(item.requests[0].source, item.target) for item in examples] == [
            ("one", "eins"),
            ("", "zwei"),
            ("three", ""),
        ]

    def test_a_byte_order_mark_is_no_part_of_the_first_sentence(self, tmp_path):
        examples = read(parallel(tmp_path, test_en=b"\xef\xbb\xbfone\n", test_de=b"\xef\xbb\xbfeins"))
        assert (examples[0].requests[0].source, examples[0].target) == ("one", "eins")

    def test_windows_line_ends_leave_no_carriage_return(self, tmp_path):
        examples = read(parallel(tmp_path, test_en=b"one\r\ntwo\r\n", test_de=b"eins\r\nzwei\r\n"))
        assert [item.target for item in examples] == ["eins", "zwei"]
        assert [item.requests[0].source for item in examples] == ["one", "two"]

    def test_a_lone_carriage_return_ends_no_line(self, tmp_path):
        examples = read(parallel(tmp_path, test_en=b"one\rmore\n", test_de=b"eins\n"))
        assert examples[0].requests[0].source == "one\rmore"

    def test_normal_forms_are_kept_apart_as_sacrebleu_keeps_them(self, tmp_path):
        assert NFC != NFD
        (example,) = read(parallel(tmp_path, test_en=b"ferry\n", test_de=NFD.encode()))
        assert example.target == NFD
        metric = registry.create("metric", "chrf")
        same = metric.reduce(metric.measure(example, (Generated(text=NFD),))[None])
        other = metric.reduce(metric.measure(example, (Generated(text=NFC),))[None])
        assert (same, other) == (100.0, pytest.approx(sacrebleu.corpus_chrf([NFC], [[NFD]]).score))
        assert other < 100.0

    def test_bytes_that_are_no_text_are_refused_by_place(self, tmp_path):
        with pytest.raises(DataError, match="byte 1"):
            read(parallel(tmp_path, test_en=b"a\xff\n", test_de=b"b\n"))

    def test_an_absent_training_split_says_which_there_are(self, tmp_path):
        with pytest.raises(UsageError, match="it has test"):
            read(parallel(tmp_path, test_en=b"a\n", test_de=b"b\n"), "train")

    def test_an_absent_file_is_an_error_that_names_it(self, tmp_path):
        with pytest.raises(DataError, match=r"test\.de"):
            read(parallel(tmp_path, test_en=b"a\n"))

    def test_a_changed_line_changes_the_digest(self, tmp_path):
        task = parallel(tmp_path, test_en=b"a\n", test_de=b"b\n")
        before = task.data_digest("test", DataSources(None, online=False))
        (tmp_path / "test.de").write_bytes(b"c\n")
        assert task.data_digest("test", DataSources(None, online=False)) != before


class TestMulti30k:
    def test_a_missing_column_is_an_error_that_names_row_and_column(self, tmp_path):
        (tmp_path / "test.jsonl").write_text(json.dumps({"en": "a", "nl": "b"}) + "\n", encoding="utf-8")
        task = registry.create("task", "translation/multi30k")
        with pytest.raises(DataError, match="row 1 has no column 'de'"):
            list(task.examples("test", 0, DataSources(None, own={"multi30k": tmp_path}, online=False)))

    def test_an_extra_column_is_ignored(self, tmp_path):
        (tmp_path / "test.jsonl").write_text(json.dumps({"en": "a", "de": "b", "x": 1}) + "\n", encoding="utf-8")
        task = registry.create("task", "translation/multi30k")
        (example,) = task.examples("test", 0, DataSources(None, own={"multi30k": tmp_path}, online=False))
        assert (example.requests[0].source, example.target) == ("a", "b")

    def test_an_empty_column_stays_an_example(self, tmp_path):
        rows = [{"en": "a", "de": ""}, {"en": "", "de": "b"}]
        (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        task = registry.create("task", "translation/multi30k")
        found = list(task.examples("test", 0, DataSources(None, own={"multi30k": tmp_path}, online=False)))
        assert [item.target for item in found] == ["", "b"]

    @pytest.mark.parametrize(
        ("split", "rows"), [("test", 1000), ("test_2017", 1000), ("test_2018", 1071), ("test_mscoco", 461)]
    )
    def test_every_test_set_is_whole(self, split, rows):
        sources = local()
        task = registry.create("task", "translation/multi30k:source=de,target=en")
        assert sum(1 for _ in task.examples(split, 0, sources)) == rows

    def test_czech_is_refused_where_the_set_has_none(self):
        task = registry.create("task", "translation/multi30k:target=cs")
        with pytest.raises(UsageError, match="test_2018"):
            next(iter(task.examples("test_2017", 0, local())))

    def test_a_language_is_not_translated_into_itself(self):
        with pytest.raises(UsageError, match="from de to de"):
            registry.create("task", "translation/multi30k:source=de,target=de")

    def test_the_instruction_names_both_languages(self):
        first = next(iter(registry.create("task", "translation/multi30k:target=fr").examples("test", 0, local())))
        assert "from English to French" in first.requests[0].instruction


class TestTwoNewstests:
    def test_the_filtered_set_has_its_sentences_and_no_entities(self):
        task = registry.create("task", "translation/newstest2014")
        examples = list(task.examples("test", 0, local()))
        assert len(examples) == 2737
        assert not any("&quot;" in item.requests[0].source + item.target for item in examples)
        assert any('"' in item.target for item in examples)

    def test_the_two_sets_score_by_different_tokens(self):
        tokenised = registry.create("task", "translation/newstest2014").metrics[0]
        plain = registry.create("task", "translation/wmt14").metrics[0]
        assert (tokenised, plain) == ("bleu:tokenize=none", "bleu:tokenize=13a")

    def test_the_hubs_nested_rows_become_pairs(self, lay_on_hub):
        task = registry.create("task", "translation/wmt14:target=fr")
        hub = task._data("test").hub
        commit = lay_on_hub(hub, "test", [{"translation": {"fr": "un chat", "en": "a cat"}}])
        (example,) = task.examples("test", 0, DataSources(None, online=False))
        assert (example.requests[0].source, example.target) == ("a cat", "un chat")
        assert task.data_digest("test", DataSources(None, online=False)) == f"hub:wmt/wmt14@{commit}:fr-en/test"

    def test_a_direction_without_english_is_refused(self):
        with pytest.raises(UsageError, match="English on one side"):
            registry.create("task", "translation/wmt14:source=de,target=fr")

    def test_multi30k_has_french_and_czech_on_the_hub_too(self, lay_on_hub):
        task = registry.create("task", "translation/multi30k:source=cs,target=fr")
        commit = lay_on_hub(
            task._data("test").hub, "test", [{"en": "A cat.", "cs": "Kočka.", "de": "-", "fr": "Chat."}]
        )
        (example,) = task.examples("test", 0, OFFLINE)
        assert (example.requests[0].source, example.target) == ("Kočka.", "Chat.")
        assert task.data_digest("test", OFFLINE) == f"hub:romrawinjp/multi30k@{commit}:test"
        assert registry.create("task", "translation/multi30k")._data("test").hub.id == "bentrevett/multi30k"


class TestNtrex:
    def test_two_languages_of_the_hub_are_read_side_by_side(self, lay_on_hub):
        task = registry.create("task", "translation/ntrex:target=zh")
        english, chinese = (_data(language, "test").hub for language in ("en", "zh"))
        lay_on_hub(english, "test", [{"text": "a cat"}, {"text": "a dog"}])
        commit = lay_on_hub(chinese, "test", [{"text": "猫"}, {"text": "狗"}])
        found = [(item.requests[0].source, item.target, item.cluster) for item in task.examples("test", 0, OFFLINE)]
        assert found == [("a cat", "猫", ""), ("a dog", "狗", "")]
        place = f"hub:davidstap/NTREX@{commit}"
        assert task.data_digest("test", OFFLINE) == f"{place}:eng_Latn/test+{place}:zho_Hans/test"

    def test_languages_of_different_length_are_refused(self, lay_on_hub):
        lay_on_hub(_data("en", "test").hub, "test", [{"text": "a cat"}])
        lay_on_hub(_data("de", "test").hub, "test", [{"text": "eine Katze"}, {"text": "ein Hund"}])
        with pytest.raises(DataError, match="en has 1 sentences, but de has 2"):
            list(registry.create("task", "translation/ntrex").examples("test", 0, OFFLINE))

    def test_documents_are_clusters_and_every_language_is_there(self):
        sources = local()
        for target in ("zh", "ja", "ar"):
            examples = list(registry.create("task", f"translation/ntrex:target={target}").examples("test", 0, sources))
            assert len(examples) == 1997
            assert 1 < len({item.cluster for item in examples}) < 1997
        assert registry.create("task", "translation/ntrex:target=zh").metrics[0] == "bleu:tokenize=zh"


def test_bleu_of_copied_sources_is_sacrebleus_own():
    examples = list(registry.create("task", "translation/multi30k").examples("test", 0, local()))
    metric = registry.create("metric", "bleu:tokenize=13a")
    copies = [item.requests[0].source for item in examples]
    rows = np.stack(
        [metric.measure(item, (Generated(text=copy),)) for item, copy in zip(examples, copies, strict=True)]
    )
    wanted = sacrebleu.corpus_bleu(copies, [[item.target for item in examples]]).score
    assert metric.reduce(rows) == pytest.approx(wanted, abs=1e-9)


def test_rows_packed_with_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    with gzip.open(tmp_path / "test.jsonl.gz", "wb") as stream:
        stream.write(b'\xef\xbb\xbf{"en": "a", "de": "b"}\r\n{"en": "c", "de": "d"}\r\n')
    task = registry.create("task", "translation/multi30k")
    found = list(task.examples("test", 0, DataSources(None, own={"multi30k": tmp_path}, online=False)))
    assert [(item.requests[0].source, item.target) for item in found] == [("a", "b"), ("c", "d")]
