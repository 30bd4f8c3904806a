"""What each metric of text does with other scripts than Latin: a number, or a refusal, and its signature says how."""

from __future__ import annotations

import jiwer
import numpy as np
import pytest
import sacrebleu

from harness.api import registry
from harness.api.errors import HarnessError, UsageError
from harness.api.types import Example, Generate, Generated
from harness.metrics._words import words

HINDI, THAI, CHINESE, RUSSIAN = "पूर्व प्रधानमन्त्री आबे", "สวัสดี ครับ", "今天天气很好", "привет мир"
SCRIPTS = (
    HINDI,
    THAI,
    CHINESE,
    RUSSIAN,
    "한국어 문장",
    "日本語のテキスト",
    "مرحبا بالعالم",
    "שלום עולם",
    "γειά σου Κόσμε",
)


def value(spec: str, said: str, right: str) -> float:
    metric = registry.create("metric", spec)
    return metric.reduce(metric.measure(Example("0", (Generate("s", 9),), right), [Generated(said)])[None])


@pytest.mark.parametrize("text", SCRIPTS)
@pytest.mark.parametrize(
    ("spec", "best"),
    [
        *((f"rouge:which={which}", 100.0) for which in ("1", "L", "Lsum")),
        *((spec, 100.0) for spec in ("chrf", "chrf:word_order=2", "bleu:tokenize=char")),
        *((spec, 0.0) for spec in ("ter", "ter:normalized=true,asian_support=true", "wer", "cer")),
        *((spec, 1.0) for spec in ("word_accuracy", "exact_match")),
    ],
)
def test_a_text_in_any_script_equals_itself(text: str, spec: str, best: float) -> None:
    assert value(spec, text, text) == pytest.approx(best)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("It's x_y, 3.5 %!", ["it", "s", "x", "y", "3", "5"]),
        (HINDI, ["पूर्व", "प्रधानमन्त्री", "आबे"]),
        ("วัน กa1", ["วั", "น", "ก", "a1"]),
        ("iPhone手机2台", ["iphone", "手", "机", "2", "台"]),
        ("がんばる", ["が", "ん", "ば", "る"]),
        ("cafe\u0301 GRÖSSE", ["café", "grösse"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("co\u00adop", ["coop"]),
    ],
)
def test_words_of_any_script(text: str, wanted: list[str]) -> None:
    assert words(text) == wanted


def test_rouge_keeps_accents_and_counts_characters_where_there_are_no_spaces() -> None:
    assert value("rouge:which=1", "größe", "gr e") == 0.0
    assert value("rouge:which=1", "cafe\u0301", "café") == 100.0
    # 5 of 6 characters, 4 of 5 pairs
    assert value("rouge:which=1", "今天天气很坏", CHINESE) == pytest.approx(500 / 6)
    assert value("rouge:which=2", "今天天气很坏", CHINESE) == pytest.approx(80.0)
    # half of the words
    assert value("rouge:which=1", "привет всем", RUSSIAN) == 50.0
    # stems are English: `running` is `run`, a word with an accent stays as it is
    assert value("rouge:which=1", "running é", "run é") == 100.0
    assert value("rouge:which=1", "cafés", "café") == 0.0


def test_rouge_ends_a_sentence_at_the_stops_of_other_scripts() -> None:
    said, right = "今天很好。他来了！", "他来了！今天很好。"
    assert value("rouge:which=Lsum", said, right) == pytest.approx(100.0)
    assert value("rouge:which=L", said, right) == pytest.approx(400 / 7)
    said, right = "वह आया। मैं गया।", "मैं गया। वह आया।"
    assert value("rouge:which=Lsum", said, right) == pytest.approx(100.0)


def test_rouge_score_tokens_of_another_script_are_refused_and_in_the_signature() -> None:
    with pytest.raises(HarnessError, match="use tokens=unicode"):
        value("rouge:which=1,tokens=rouge-score", RUSSIAN, RUSSIAN)
    assert value("rouge:which=1,tokens=rouge-score,stem=false", "größe", "gr e") == 100.0
    assert "|tok:rouge-score|" in registry.create("metric", "rouge:tokens=rouge-score").signature
    assert "|tok:unicode|" in registry.create("metric", "rouge").signature


@pytest.mark.parametrize(
    ("codes", "tokenizer"),
    [
        (("zh", "ZH", "zh-CN", "zh_Hans", "zh-Hant-TW", "zho_Hans", "zho_Hant", "cmn_Hans", "yue_Hant", "chi"), "zh"),
        (("ja", "ja-JP", "jpn_Jpan", "jpn"), "char"),
        (("ko", "ko-KR", "kor_Hang"), "char"),
        (("th", "tha_Thai", "my", "mya_Mymr", "km", "khm_Khmr", "lo", "lao_Laoo"), "char"),
        (("de", "de-AT", "deu_Latn", "hin_Deva", "arb_Arab", "ru", "xyz", "zhu", "jav_Latn", "kor2"), "13a"),
    ],
)
def test_the_target_language_chooses_bleus_tokens_however_it_is_spelled(codes: tuple[str, ...], tokenizer: str) -> None:
    for code in codes:
        task = registry.create("task", f"translation/parallel:folder=x,source=src,target={code}")
        bleu = registry.create("metric", task.metrics[0])
        assert (code, bleu.tokenize) == (code, tokenizer)
        assert f"|tok:{tokenizer}|" in bleu.signature
        assert f"length_ratio:tokenize={tokenizer}" in task.metrics


def test_bleu_of_chinese_is_sacrebleus_own_for_chinese() -> None:
    said, right = "今天天气很好我们去公园玩", "今天天气很好我们去公园吧"
    wanted = sacrebleu.BLEU(trg_lang="zh").corpus_score([said], [[right]]).score
    assert value("bleu:tokenize=zh", said, right) == pytest.approx(wanted)
    assert wanted == pytest.approx(90.36, abs=0.01)
    assert value("bleu", said, right) == 0.0


def test_ter_counts_characters_of_chinese_and_japanese_alone() -> None:
    said, right = "今天天气很坏", CHINESE
    wanted = sacrebleu.TER(normalized=True, asian_support=True).corpus_score([said], [[right]]).score
    assert value("ter:normalized=true,asian_support=true", said, right) == pytest.approx(wanted)
    assert wanted == pytest.approx(100 / 6)
    assert value("ter", said, right) == 100.0
    metrics = {
        code: registry.create("task", f"translation/parallel:folder=x,target={code}").metrics
        for code in ("zho_Hans", "ja", "de", "ko", "th")
    }
    asian = "ter:asian_support=true,normalized=true"
    assert [asian in metrics[code] for code in metrics] == [True, True, False, False, False]
    # nothing to count where no word ends can be seen
    assert [any(str(item).startswith("ter") for item in metrics[code]) for code in metrics] == [True] * 4 + [False]


def test_the_prompt_names_the_language_however_it_is_spelled(tmp_path) -> None:
    names = {"zho_Hant": "Traditional Chinese", "zh-CN": "Simplified Chinese", "zh": "Chinese", "jpn_Jpan": "Japanese"}
    for code, name in {**names, "deu_Latn": "German", "kor_Hang": "Korean", "xx": "xx"}.items():
        (tmp_path / "test.en").write_text("a\n", encoding="utf-8")
        (tmp_path / f"test.{code}").write_text("b\n", encoding="utf-8")
        task = registry.create("task", f"translation/parallel:folder={tmp_path},target={code}")
        (example,) = task.examples("test", 0, None)
        assert example.requests[0].instruction.startswith(f"Translate the text from English to {name}.")


def test_a_dictionary_that_is_not_installed_is_named_with_its_remedy() -> None:
    try:
        import ipadic  # noqa: F401
    except ImportError:
        with pytest.raises(UsageError, match=r"pip install 'sacrebleu\[ja\]'"):
            value("bleu:tokenize=ja-mecab", "a", "a")


def test_words_of_a_script_without_spaces_are_sentences_as_in_jiwer() -> None:
    said = "今天天气很坏"
    assert value("wer", said, CHINESE) == jiwer.wer(CHINESE, said) == 1.0
    assert value("word_accuracy", said, CHINESE) == 0.0
    assert value("cer", said, CHINESE) == jiwer.cer(CHINESE, said) == pytest.approx(1 / 6)
    # any white space ends a word, an ideographic one too, which is part of a word in jiwer
    assert (value("wer", "今天\u3000好", "今天 好"), jiwer.wer("今天 好", "今天\u3000好")) == (0.0, 1.0)


def test_exact_match_compares_letters_as_they_are_encoded() -> None:
    assert value("exact_match", "cafe\u0301", "café") == 0.0
    assert value("exact_match", "７２", "72") == 0.0
    assert value("exact_match:ignore_case=true", "ПРИВЕТ", "привет") == 1.0
    assert value("exact_match", "\u3000今天 ", "今天") == 1.0


def test_chrf_of_other_scripts_equals_sacrebleu() -> None:
    for order in (0, 2):
        for said, right in (("今天天气很坏", CHINESE), ("привет всем", RUSSIAN), ("पूर्व आबे", HINDI)):
            wanted = sacrebleu.CHRF(word_order=order).corpus_score([said], [[right]]).score
            assert value(f"chrf:word_order={order}", said, right) == pytest.approx(wanted)
            assert 0 < wanted < 100


def test_every_resample_of_one_text_is_its_value() -> None:
    metric = registry.create("metric", "rouge:which=1")
    row = metric.measure(Example("0", (Generate("s", 9),), HINDI), [Generated("पूर्व आबे")])
    assert metric.resample(row[None], np.zeros((3, 1), dtype=np.int64)) == pytest.approx(80.0)
