"""WikiText: lines become articles, and articles become plain text."""

from __future__ import annotations

import pytest

from harness.api.errors import UsageError
from harness.sources import DataSources
from harness.tasks.language_modelling.wikitext import Wikitext, detokenise, documents


def test_no_line_is_one_empty_document() -> None:
    assert list(documents([])) == [""]


def test_a_top_level_heading_starts_an_article_and_a_section_does_not() -> None:
    lines = [" ", " = One = ", " ", " text ", " = = Part = = ", " more ", " ", " = Two = ", " last "]
    assert list(documents(lines)) == [
        " = One = \n \n text \n = = Part = = \n more \n ",
        " = Two = \n last \n",
    ]


def test_the_hubs_rows_give_the_same_documents_as_the_file() -> None:
    file = [" ", " = One = ", " ", " text "]
    hub = ["", " = One = \n", "", " text \n"]
    assert list(documents(hub)) == list(documents(file))


@pytest.mark.parametrize(
    ("tokenised", "plain"),
    [
        ("", ""),
        ("a guest @-@ starring role", "a guest-starring role"),
        ("1 @,@ 000 and 2 @.@ 5", "1,000 and 2.5"),
        ("the play , written ; he said : no .", "the play, written; he said: no ."),
        ('the " Scott Parry " ( 2001 ) [ sic ]', 'the "Scott Parry" (2001) [sic]'),
        (" = = = 2000 = = = \n text", " === 2000 ===\ntext"),
        ("the show 's 20 ° C", "the show's 20°C"),
        ("unclosed ( bracket", "unclosed ( bracket"),
    ],
)
def test_detokenising_restores_plain_spelling(tokenised: str, plain: str) -> None:
    assert detokenise(tokenised) == plain


@pytest.mark.parametrize(("name", "size"), [("wikitext2", 1256386), ("wikitext103", 1281014)])
def test_the_test_set_has_lm_evals_62_documents(real_sources: DataSources, name: str, size: int) -> None:
    examples = list(Wikitext(set=name).examples("test", 0, real_sources))  # type: ignore[arg-type]
    assert len(examples) == 62
    # lm-eval counts words as pieces between white space, empty ones at both ends included
    assert sum(example.target["words"] for example in examples) == 241335
    # the file's bytes less the blank first line and the newlines between documents
    assert sum(example.target["bytes"] for example in examples) == size


def test_a_split_that_a_set_lacks_is_refused(real_sources: DataSources) -> None:
    with pytest.raises(UsageError, match="set=wikitext103 has no split 'train'; it has test"):
        next(Wikitext(set="wikitext103").examples("train", 0, real_sources))
    assert next(Wikitext().examples("train", 0, real_sources)).id == "train-0"
