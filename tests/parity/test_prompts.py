"""Prompts that claim to be lm-eval's are rendered from its own task files, as its package carries them."""

from __future__ import annotations

import importlib.util
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from harness.api import registry
from harness.api.types import Generate, Score
from harness.models.lms._prompt import plain
from harness.sources import DataSources
from harness.tasks.decoding.gsm8k import DATA as GSM8K
from harness.tasks.decoding.gsm8k import STOPS
from harness.tasks.knowledge.truthfulqa_mc import DATA as TRUTHFULQA

pytestmark = pytest.mark.parity


def task_file(name: str) -> dict[str, Any]:
    """One task file of the installed lm-eval; its package is not imported."""
    found = importlib.util.find_spec("lm_eval")
    if found is None or found.origin is None:
        pytest.skip("lm-eval is not installed")
    read: dict[str, Any] = yaml.safe_load((Path(found.origin).parent / "tasks" / name).read_text(encoding="utf-8"))
    return read


def rendered(template: str, row: Any) -> str:
    return (
        jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        .from_string(template)
        .render(row)
    )


def test_gsm8k_asks_the_prompt_of_its_task_file(real_sources: DataSources) -> None:
    theirs = task_file("gsm8k/gsm8k.yaml")
    shots = list(islice(real_sources.rows(GSM8K, "train"), theirs["num_fewshot"]))
    # lm-eval's default delimiters: a blank before an answer, an empty line after it
    before = "".join(
        f"{rendered(theirs['doc_to_text'], row)} {rendered(theirs['doc_to_target'], row)}\n\n" for row in shots
    )
    rows = islice(real_sources.rows(GSM8K, "test"), 100)
    for row, example in zip(
        rows, registry.create("task", "decoding/gsm8k").examples("test", 0, real_sources), strict=False
    ):
        (request,) = example.requests
        assert isinstance(request, Generate)
        assert plain(request) == before + rendered(theirs["doc_to_text"], row)
        assert request.stop == STOPS == tuple(theirs["generation_kwargs"]["until"])


def test_truthfulqa_asks_the_prompt_of_its_task_file(real_sources: DataSources) -> None:
    theirs = task_file("truthfulqa/truthfulqa_mc1.yaml")
    examples = registry.create("task", "knowledge/truthfulqa_mc").examples("test", 0, real_sources)
    for row, example in zip(real_sources.rows(TRUTHFULQA, "test"), examples, strict=True):
        (context,) = {request.context for request in example.requests if isinstance(request, Score)}
        assert context == rendered(theirs["doc_to_text"], {"question": row["en"]["question"]})
