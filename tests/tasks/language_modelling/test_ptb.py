"""PTB: words are counted as the paper counts them, whatever the blocks."""

from __future__ import annotations

import pytest

from harness.api.errors import UsageError
from harness.sources import DataSources
from harness.tasks.language_modelling.ptb import Ptb


@pytest.mark.parametrize(("split", "words"), [("test", 82430), ("validation", 73760)])
@pytest.mark.parametrize("sentences", [1, 100, 10**6])
def test_words_add_up_to_the_published_count(real_sources: DataSources, split: str, words: int, sentences: int) -> None:
    examples = list(Ptb(sentences=sentences).examples(split, 0, real_sources))
    assert sum(example.target["words"] for example in examples) == words
    text = "".join(example.requests[0].continuation for example in examples)
    assert len(text.encode()) == sum(example.target["bytes"] for example in examples)
    assert text.startswith("no it was n't black monday\n" if split == "test" else "consumers may want")


def test_a_document_without_sentences_is_refused(real_sources: DataSources) -> None:
    with pytest.raises(UsageError, match="sentences=0"):
        next(Ptb(sentences=0).examples("test", 0, real_sources))
    with pytest.raises(UsageError, match="no split 'dev'"):
        next(Ptb().examples("dev", 0, real_sources))


def test_no_example_of_one_split_has_the_name_of_one_of_another(real_sources: DataSources) -> None:
    test, validation = (
        {item.id for item in Ptb(sentences=1000).examples(split, 0, real_sources)} for split in ("test", "validation")
    )
    assert not test & validation
