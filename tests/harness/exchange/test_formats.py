"""What we write is read by the programs whose format it is, and what lm-eval wrote stands marked beside ours."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.api.errors import DataError
from harness.boards import records
from harness.exchange import every_eval_ever, flat, hub, lm_eval, mteb
from harness.terminal import plain

sys.path.append(str(Path(__file__).parents[1] / "boards"))
from shelves import ODD, answers, record, result, sealed, valueless

ONE = result(answers(7, 3), "a" * 16)
OTHER = result(answers(6, 4), "b" * 16, task="recall/noun_list")


def test_lm_eval_has_a_place_for_every_key_that_is_written():
    schema = pytest.importorskip("lm_eval.result_schema")
    written = json.loads(lm_eval.export([ONE, OTHER]))
    assert set(written) <= set(schema.EvalResults.__annotations__)
    assert set(written["config"]) <= set(schema._EvalConfig.__annotations__)
    assert set(written["n-samples"]["recall/noun_list"]) == set(schema._SampleCount.__annotations__)


def test_lm_eval_prints_its_table_of_what_is_written():
    utils = pytest.importorskip("lm_eval.utils")
    table = utils.make_table(json.loads(lm_eval.export([ONE])))
    assert "key_found" in table
    assert "0.7" in table


def test_what_was_exported_comes_back_with_its_numbers_marked_as_imported():
    (back,) = lm_eval.read(lm_eval.export([ONE]), {})
    assert back.imported
    assert back.result.task == "lm-eval/long_context/passkey"
    found = back.result.metrics["key_found"]
    assert (found.value, found.n, found.higher_is_better) == (0.7, 10, True)


def test_an_imported_row_takes_our_task_and_shows_our_headline():
    numbers = {"other,none": 0.1, "key_found,none": 0.5, "key_found_stderr,none": 0.01}
    counts = {"pass": {"original": 100, "effective": 100}}
    text = json.dumps({"results": {"pass": numbers}, "n-samples": counts, "model_name": "their/model"})
    (back,) = lm_eval.read(text, {"long_context/passkey": "pass"})
    assert (back.result.task, back.result.model, back.result.headline) == (
        "long_context/passkey",
        "their/model",
        "key_found",
    )
    assert back.result.metrics["key_found"].low == pytest.approx(0.5 - 1.959964 * 0.01)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": 3}'])
def test_a_file_that_is_not_lm_evals_is_refused(text):
    with pytest.raises(DataError, match="no lm-eval results file"):
        lm_eval.read(text, {})


def test_a_name_that_the_file_lacks_is_told_with_those_it_has():
    with pytest.raises(DataError, match="no task absent; it has long_context/passkey"):
        lm_eval.read(lm_eval.export([ONE]), {"recall/noun_list": "absent"})


def test_a_metric_without_a_number_is_not_imported():
    assert lm_eval.read(json.dumps({"results": {"x": {"acc,none": "N/A", "alias": "x"}}}), {}) == []


def test_one_lm_eval_file_holds_one_model():
    with pytest.raises(DataError, match="one model"):
        lm_eval.export([ONE, result(answers(7, 3), model="lms/other")])


def test_mteb_reads_what_is_written_for_it():
    written = json.loads(mteb.export([ONE]))
    assert written["scores"]["test"][0]["main_score"] == 0.7
    module = pytest.importorskip("mteb.results.task_result")
    read = module.TaskResult.model_validate(written)
    assert read.scores["test"][0]["main_score"] == 0.7


def similarity(**changes: Any) -> Any:
    made = result(answers(7, 3), "c" * 16, task="embedding/stsb", **changes)
    (found,) = made.metrics.values()
    return replace(made, metrics={"spearman": found, "pearson": replace(found, value=0.6)})


def test_mteb_finds_its_own_names_in_a_similarity_task():
    written = json.loads(mteb.export([similarity()]))
    (scores,) = written["scores"]["test"]
    assert written["task_name"] == "STSBenchmark"
    assert (scores["main_score"], scores["cosine_spearman"], scores["cosine_pearson"]) == (0.7, 0.7, 0.6)
    assert (scores["spearman"], scores["languages"]) == (0.7, ["eng-Latn"])
    module = pytest.importorskip("mteb.results.task_result")
    assert module.TaskResult.model_validate(written).get_score() == 0.7


def test_a_part_of_a_similarity_task_is_not_mtebs():
    written = json.loads(mteb.export([similarity(limit=10)]))
    assert written["task_name"] == "embedding/stsb"
    assert "cosine_spearman" not in written["scores"]["test"][0]


def test_a_run_without_a_value_has_no_main_score():
    with pytest.raises(DataError, match="main score"):
        mteb.export([valueless(record(answers(7, 3)), math.nan).result])


def test_the_hub_reads_eval_results_and_the_model_index():
    cards = pytest.importorskip("huggingface_hub.repocard_data")
    (entry,) = pytest.importorskip("huggingface_hub._eval_results").parse_eval_result_entries(
        json.loads(hub.eval_results([ONE]))
    )
    assert (entry.value, entry.task_id) == (0.7, "long_context/passkey")
    name, found = cards.model_index_to_eval_results(json.loads(hub.model_index([ONE, OTHER]))["model-index"])
    assert name == "lms/ngram"
    assert [item.metric_value for item in found] == [0.7, 0.6]


def test_every_eval_ever_is_told_all_that_it_requires():
    written = json.loads(every_eval_ever.export([ONE]))
    assert {"schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata", "model_info", "eval_library",
            "evaluation_results"} <= set(written)  # fmt: skip
    (found,) = written["evaluation_results"]
    assert found["score_details"]["score"] == 0.7
    assert (found["metric_config"]["min_score"], found["metric_config"]["max_score"]) == (0, 1)


@pytest.mark.parametrize(
    ("scale", "told"),
    [((1.0, 0.0), ("continuous", 0, 1)), ((math.inf, 0.0), ("continuous", 0, "Infinity")),
     ((-math.inf, 1.0), ("continuous", "-Infinity", 1)), (None, (None, None, None))],
)  # fmt: skip
def test_every_eval_ever_gets_both_ends_of_a_scale_or_no_type_of_score(scale, told):
    metric = {"key_found": replace(ONE.metrics["key_found"], scale=scale)}
    (found,) = json.loads(every_eval_ever.export([replace(ONE, metrics=metric)]))["evaluation_results"]
    assert tuple(found["metric_config"].get(key) for key in ("score_type", "min_score", "max_score")) == told


@pytest.mark.parametrize("name", ["=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)"])
def test_a_name_that_a_spreadsheet_would_compute_gets_an_apostrophe(name):
    (line,) = csv.DictReader(io.StringIO(flat.as_csv([result(answers(7, 3), model=name)]), newline=""))
    assert line["model"] == "'" + name
    assert line["value"] == "0.7"


@pytest.mark.parametrize(
    ("path", "to", "said"),
    [(("n-samples", "h", "effective"), "x", "h: the number of examples is 'x'"),
     (("n-samples", "h", "effective"), -1, "h: the number of examples is '-1'"),
     (("config", "random_seed"), [1], "the random seed is '[1]'"),
     (("results", "h", "acc_stderr,none"), -1, "the standard error of acc is -1"),
     (("results", "h", "acc,none"), 10**400, "a stored whole number has 1329 bits"),
     (("results",), [["h", 1]], 'it holds no object "results"')],
)  # fmt: skip
def test_a_damaged_file_of_lm_eval_is_told_by_what_was_found(path, to, said):
    stored = {"results": {"h": {"acc,none": 0.5, "acc_stderr,none": 0.01}}, "config": {"random_seed": 0},
              "n-samples": {"h": {"effective": 3}}, "date": 1e308}  # fmt: skip
    # a date that no calendar holds costs the date alone
    assert lm_eval.read(json.dumps(stored), {})[0].result.environment["date"] == ""
    at = stored
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    with pytest.raises(DataError) as told:
        lm_eval.read(json.dumps(stored), {})
    assert said in str(told.value)


def test_import_writes_nothing_where_one_of_its_files_cannot_be_read(tmp_path, capsys):
    (tmp_path / "good.json").write_text(lm_eval.export([ONE]))
    (tmp_path / "bad.json").write_text("[" * 100_000)
    files = [str(tmp_path / "good.json"), str(tmp_path / "bad.json")]
    assert cli.main(["import", *files, "--records", str(tmp_path / "records")]) == 2
    assert "bad.json cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "records").exists()


def test_csv_keeps_names_with_commas_and_quotes_and_writes_what_could_steer_as_its_escape():
    odd = result(answers(7, 3), model=ODD + ',"')
    (line,) = csv.DictReader(io.StringIO(flat.as_csv([odd]), newline=""))
    assert line["model"] == plain(ODD + ',"')
    assert float(line["value"]) == 0.7


def test_parquet_holds_the_same_lines_as_csv(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    flat.write_parquet([ONE, valueless(record(answers(7, 3)), math.inf).result], tmp_path / "x.parquet")
    table = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert [line["value"] for line in table] == [0.7, None]
    assert list(table[0]) == list(flat.HEADERS)


@pytest.mark.parametrize(
    "kind", ["lm-eval", "mteb", "eval-results", "model-index", "every-eval-ever", "csv", "parquet"]
)
def test_every_format_is_written_by_the_verb(kind, tmp_path):
    records.add(sealed(record(answers(7, 3))), tmp_path / "records")
    file = next((tmp_path / "records").rglob("*.json"))
    assert cli.main(["export", "--format", kind, "--out", str(tmp_path / "out"), str(file)]) == 0
    assert (tmp_path / "out").stat().st_size > 100


def test_imported_rows_are_published_beside_ours_by_the_verbs(tmp_path):
    folder = tmp_path / "records"
    records.add(sealed(record(answers(7, 3))), folder)
    (tmp_path / "results.json").write_text(lm_eval.export([result(answers(9, 1), "c" * 16, model="their/model")]))
    name = "long_context/passkey=long_context/passkey"
    assert cli.main(["import", str(tmp_path / "results.json"), "--as", name, "--records", str(folder)]) == 0
    assert cli.main(["publish", "--records", str(folder), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "long_context.md").read_text()
    assert "their/model (imported from lm-eval)" in page


def test_a_report_says_how_sets_tables_and_escapes_latex(tmp_path, capsys):
    folder = tmp_path / "records"
    for made in (record(answers(70, 30), "a" * 16), record(answers(20, 80), "b" * 16, model="lms/under_score")):
        records.add(sealed(made), folder)
    files = [str(file) for file in sorted(folder.rglob("*.json"))]
    assert cli.main(["report", *files]) == 0
    page = capsys.readouterr().out
    assert r"2 & lms/under\_score & b & 0.2" in page
    assert re.search(r"^[0-9a-f]{16}  harness run --task long_context/passkey", page, re.MULTILINE)
    assert "by the method whose letter follows: W Wilson. Rows" in page
    assert "] W" in page


def test_a_report_of_hostile_names_stays_one_table():
    from harness.boards import appendix

    odd = record(answers(7, 3), model=ODD)
    page = appendix.write([odd, replace(odd, result=replace(odd.result, digest="e" * 16))])
    assert "<script" not in page.replace("```", "") or "\n```text" in page
    for line in page.split("```latex")[1].split("```")[0].splitlines():
        assert "<" not in line
