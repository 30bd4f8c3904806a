"""Is a data set that nothing asks for refused before anything runs?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli
from harness.api.errors import DataError
from harness.api.types import DataFile, Dataset
from harness.sources import DataSources

ROW = {"id": "1", "dialogue": "A: hi\nB: ho", "summary": "Hi."}
RUN = ["run", "--task", "summarization/samsum", "--model", "summarization/lead"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "my files"
    folder.mkdir()
    (folder / "test.jsonl").write_text(json.dumps(ROW) + "\n", encoding="utf-8")
    return folder


def test_a_misspelt_data_set_is_refused_with_the_nearest(own, tmp_path, capsys):
    code = cli.main([*RUN, "--own", f"samsun={own}", "--out", str(tmp_path / "runs")])
    assert code == 2
    assert "no task or model here asks for a data set 'samsun'. Did you mean 'samsum'?" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_data_set_that_the_task_asks_for_is_taken(own, tmp_path, capsys):
    assert cli.main([*RUN, "--own", f"samsum={own}", "--out", str(tmp_path / "runs"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    stored = json.loads((Path(row["folder"]) / "result.json").read_text(encoding="utf-8"))
    assert stored["signature"]["data"].startswith("local:")


def test_two_files_for_one_split_are_refused_by_name(own):
    (own / "test.csv").write_text("id,dialogue,summary\n1,a,b\n", encoding="utf-8")
    dataset = Dataset("samsum", {"test": DataFile("samsum/test.jsonl", "")}, columns=("id",))
    with pytest.raises(DataError, match=r"holds test\.jsonl and test\.csv for one split"):
        DataSources(None, {"samsum": own}).digest(dataset, "test")
