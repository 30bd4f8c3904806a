"""A registered metric answers through the `evaluate` library with its own value."""

from __future__ import annotations

import pytest

from harness.api.errors import UsageError
from harness.exchange.evaluate_metric import as_evaluate, value

PREDICTIONS = ["helo wrld", "good morning"]
REFERENCES = ["hello world", "good morning"]


@pytest.fixture
def metric_of(monkeypatch, tmp_path):
    pytest.importorskip("evaluate")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    return as_evaluate


def test_no_prediction_is_an_error():
    from harness.api import registry

    with pytest.raises(UsageError, match="no prediction counts"):
        value(registry.create("metric", "cer"), [], [])


def test_cer_through_evaluate_equals_jiwers(metric_of):
    jiwer = pytest.importorskip("jiwer")
    found = metric_of("cer").compute(predictions=PREDICTIONS, references=REFERENCES)
    assert found == {"cer": pytest.approx(jiwer.cer(REFERENCES, PREDICTIONS))}


def test_bleu_through_evaluate_equals_sacrebleus_with_two_references(metric_of):
    sacrebleu = pytest.importorskip("sacrebleu")
    both = [[reference, reference.upper()] for reference in REFERENCES]
    (found,) = metric_of("bleu:references=2").compute(predictions=PREDICTIONS, references=both).values()
    expected = sacrebleu.corpus_bleu(PREDICTIONS, [list(column) for column in zip(*both, strict=True)]).score
    assert found == pytest.approx(expected)
