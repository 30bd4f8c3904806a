"""`harness run` on tiny plug-in tasks and models: tables, exit codes, refusals, reuse, interruption, hostile output."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import cli, environment, parts
from harness.api.errors import UsageError
from harness.commands.run import parse_budget, parse_seeds, resuming

HOSTILE = "a|b\n\x1b[31mred\x1b[0m 🙂 \u202e \x00 <script>"

PLUGIN = '''"""A task and some models, as another package would bring them."""
import os, signal, sys
from harness.api.registry import decoder, model, task
from harness.api.types import Embed, Example, Failure, Generate, Generated, Decoded


@task(version=1, doors=("generate",), paper="none", licence="MIT", differs="none")
class Echo:
    """Say the source again."""

    size: int = 4
    door = "generate"
    metrics = ("exact_match",)

    def examples(self, split, seed, sources):
        for index in range(self.size):
            yield Example(f"e{index}", (Generate(f"word {index}", 8),), target=f"word {index}")

    def data_digest(self, split, sources):
        return "generated:1"


@task(version=1, doors=("embed",), paper="none", licence="MIT", differs="none")
class Vectors:
    """Asks for vectors."""

    door = "embed"
    metrics = ("exact_match",)

    def examples(self, split, seed, sources):
        yield Example("v", (Embed("x"),), target="x")

    def data_digest(self, split, sources):
        return "generated:1"


class Panic(BaseException):
    """What Rust's panics are in Python."""


@model(doors=("generate",), paper="none", licence="MIT", differs="none")
class Parrot:
    """Says what `say` asks for: the source, something hostile, nothing, or stops the whole run."""

    say: str = "source"
    identity = {"parameters": 0}

    def fingerprint(self, setting):
        return {"weights": "none"}

    def load(self, setting):
        if self.say == "unloadable":
            raise OSError("the weights\\nare gone")
        return self

    def size(self, request):
        return 4

    def generate(self, requests, *, decoder, seeds, meter):
        if self.say == "interrupt":
            raise KeyboardInterrupt
        if self.say.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, self.say))
        if self.say == "panic":
            raise Panic("called `Option::unwrap()` on a `None` value")
        if self.say == "exit":
            sys.exit(0)
        if self.say == "hostile":
            return [Failure(HOSTILE) for _ in requests]
        if self.say == "hostile_text":
            return [Generated(HOSTILE) for _ in requests]
        return [Generated(request.source, tokens=(1, 2)) for request in requests]
'''


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The plug-in on the path, an empty working folder, and fresh registry caches before and after."""
    folder = tmp_path / "site"
    facts = folder / "tiny-1.0.dist-info"
    facts.mkdir(parents=True)
    (folder / "tiny_plugin.py").write_text(PLUGIN + f"\n\nHOSTILE = {HOSTILE!r}\n", encoding="utf-8")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[harness.tasks]\ntiny/echo = tiny_plugin:Echo\ntiny/vectors = tiny_plugin:Vectors\n"
        "[harness.models]\ntiny/parrot = tiny_plugin:Parrot\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    parts.forget()
    yield folder
    parts.forget()
    sys.modules.pop("tiny_plugin", None)


def run(*arguments: str) -> int:
    return cli.main(["run", "--out", "runs", *arguments])


def test_a_run_ends_with_a_table_and_the_path_of_the_leaderboard(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "tiny/echo", "--model", "tiny/parrot") == 0
    captured = capsys.readouterr()
    assert "exact_match" in captured.out
    assert "100" in captured.out or "1 " in captured.out
    assert "leaderboard: runs/leaderboard.md" in captured.err
    assert Path("runs/leaderboard.md").read_text(encoding="utf-8").startswith("#")


def test_json_holds_value_interval_speed_and_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "echo:size=3", "--model", "parrot", "--seed", "0,1", "--json") == 0
    cells = json.loads(capsys.readouterr().out)
    assert [cell["seed"] for cell in cells] == ["0", "1"]
    assert cells[0]["metrics"]["exact_match"]["value"] == 1.0
    assert cells[0]["metrics"]["exact_match"]["n"] == 3
    assert cells[0]["timings"]["examples_per_second"] > 0
    assert (Path(cells[0]["folder"]) / "result.json").is_file()


def test_the_same_command_again_reuses_what_is_finished(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--task", "echo", "--model", "parrot", "--json")
    assert run(*arguments) == run(*arguments) == run(*arguments, "--fresh") == 0
    decoder = json.JSONDecoder()
    text, found = capsys.readouterr().out, []
    while text.strip():
        cells, end = decoder.raw_decode(text.lstrip())
        found.append(cells[0]["reused"])
        text = text.lstrip()[end:]
    assert found == [False, True, False]


def test_one_example_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "echo", "--model", "parrot", "--limit", "1") == 0
    assert "exact_match" in capsys.readouterr().out


def test_a_senseless_combination_is_refused_before_anything_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "vectors", "--model", "parrot:say=unloadable") == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "can only generate" in captured.err
    assert not Path("runs").exists()


def test_sensible_cells_run_beside_a_refused_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "echo,vectors", "--model", "parrot") == 1
    captured = capsys.readouterr()
    assert "refused" in captured.out
    assert "exact_match" in captured.out
    assert "can only generate" in captured.err


def test_a_pattern_asks_for_what_fits_and_refuses_the_rest_without_failing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "tiny/*", "--model", "parrot") == 0
    assert "refused" in capsys.readouterr().out


def test_a_cell_that_fails_does_not_stop_the_others_and_the_table_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "echo", "--model", "parrot:say=unloadable,parrot") == 1
    captured = capsys.readouterr()
    assert "FAILED" in captured.out
    assert "the weights are gone" in captured.err
    assert "exact_match" in captured.out
    assert "Traceback" not in captured.err


def test_a_cell_without_one_answer_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "echo", "--model", "parrot:say=hostile") == 1
    captured = capsys.readouterr()
    assert "FAILED" in captured.out
    assert "\x1b" not in captured.out + captured.err
    assert "\x00" not in captured.out + captured.err
    rows = captured.out.strip().splitlines()
    assert len(rows) == 3
    # the table has room for the beginning of a reason, the line for all of it
    assert re.search(r"^failed: \S*echo x \S*parrot:say=hostile: .* \(4 of 4\)$", captured.err, re.MULTILINE)


def test_the_leaderboard_holds_the_runs_of_every_command_and_the_newest_of_a_cell(tmp_path, capsys) -> None:
    assert run("--task", "tiny/echo", "--model", "tiny/parrot") == 0
    assert run("--task", "tiny/echo", "--model", "tiny/parrot:say=other") == 0
    file = next(Path("runs").rglob("result.json"))
    (file.parent / "copy").mkdir()
    (file.parent / "copy" / "result.json").write_text("{}")
    capsys.readouterr()
    assert run("--task", "tiny/echo", "--model", "tiny/parrot") == 0
    lines = Path("runs/leaderboard.md").read_text(encoding="utf-8").splitlines()
    rows = [line.split("|")[1].strip() for line in lines if line.startswith("| tiny/parrot")]
    assert rows == ["tiny/parrot", "tiny/parrot:say=other"]
    assert "left out: runs/" in capsys.readouterr().err


@pytest.mark.parametrize(("load", "marked"), [(0.0, False), (99.0, True)])
def test_speeds_of_a_busy_machine_are_marked_in_the_table(monkeypatch, capsys, load, marked) -> None:
    monkeypatch.setattr(environment, "load", lambda: load)
    assert run("--task", "tiny/echo", "--model", "tiny/parrot") == 0
    shown = capsys.readouterr().out
    assert ("† taken while other work ran on the machine" in shown) is marked
    assert ("†  " in shown) is marked


def test_hostile_output_breaks_neither_table_nor_board(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "echo", "--model", "parrot:say=hostile_text") == 0
    captured = capsys.readouterr()
    # a busy machine adds a line that says so
    table = [line for line in captured.out.strip().splitlines() if not line.startswith("†")]
    assert len(table) == 4
    assert table[-1] == "95% interval: W Wilson."
    board = Path("runs/leaderboard.md").read_text(encoding="utf-8")
    assert "<script>" not in board
    assert "\x1b" not in board


def test_an_interruption_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "echo", "--model", "parrot:say=interrupt", "--fresh") == 130
    error = capsys.readouterr().err
    assert "harness run --out runs --task echo --model parrot:say=interrupt" in error.splitlines()[-1]
    assert "--fresh" not in error.splitlines()[-1]


@pytest.mark.parametrize(("name", "word", "code"), [("SIGTERM", "terminated", 143), ("SIGHUP", "hung up", 129)])
def test_a_signal_ends_like_an_interruption(
    name: str, word: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(getattr(signal, name))
    assert run("--task", "echo", "--model", f"parrot:say={name}") == code
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        f"harness: {word}. Finished examples are safe; go on with: "
        f"harness run --out runs --task echo --model parrot:say={name}"
    )
    assert signal.getsignal(getattr(signal, name)) == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run("--task", "echo", "--model", "parrot:say=SIGHUP") == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("say", "told"), [("panic", "Panic: called `Option::unwrap()`"), ("exit", "SystemExit: 0")])
def test_a_library_that_panics_or_exits_ends_its_cell_alone(
    say: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--task", "echo", "--model", f"parrot:say={say},parrot", "--json") == 1
    broken, healthy = json.loads(capsys.readouterr().out)
    assert told in json.dumps(broken["failures"])
    assert healthy["metrics"]["exact_match"]["value"] == 1.0


def test_a_task_whose_file_cannot_be_imported_is_refused_and_the_others_run(
    plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (plugin / "broken_plugin.py").write_text(PLUGIN.replace("import os, signal, sys", "import no_such_library"))
    with open(plugin / "tiny-1.0.dist-info" / "entry_points.txt", "a") as handle:
        handle.write("[harness.tasks]\ntiny/broken = broken_plugin:Echo\n")
    parts.forget()
    assert run("--task", "broken,echo", "--model", "parrot") == 1
    told = capsys.readouterr()
    assert "refused: importing tiny/broken failed: ModuleNotFoundError: No module named 'no_such_library'" in told.err
    assert "tiny/echo" in told.out


def test_progress_without_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "echo", "--model", "parrot") == 0
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("[1/1] tiny/echo x tiny/parrot") for line in lines)
    assert not any("\r" in line for line in lines)


def test_an_empty_task_is_a_failed_cell(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "echo:size=0", "--model", "parrot") == 1
    assert "no example" in capsys.readouterr().err


def test_compare_pairs_two_runs_and_refuses_different_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "echo", "--model", "parrot,parrot:say=hostile_text", "--json") == 0
    assert run("--task", "echo:size=5", "--model", "parrot", "--json") == 0
    out = capsys.readouterr().out
    split = out.index("\n]\n[") + 3
    (first, second), (third,) = json.loads(out[:split]), json.loads(out[split:])
    assert cli.main(["compare", first["folder"], second["folder"], "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["reference"], row["other"], row["difference"], row["examples"]) == (1.0, 0.0, -1.0, 4)
    assert cli.main(["compare", first["folder"], second["folder"]]) == 0
    assert "exact_match" in capsys.readouterr().out
    assert cli.main(["compare", first["folder"], third["folder"]]) == 2
    assert "cannot be paired: task is" in capsys.readouterr().err
    assert cli.main(["compare", first["folder"]]) == 2


def test_rescore_needs_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "echo", "--model", "parrot", "--json") == 0
    (cell,) = json.loads(capsys.readouterr().out)
    sys.modules["tiny_plugin"].Parrot.load = None
    assert cli.main(["rescore", cell["folder"], "--json"]) == 0
    (again,) = json.loads(capsys.readouterr().out)
    assert again["metrics"] == cell["metrics"]


def test_seeds_are_numbers_each_once() -> None:
    assert parse_seeds("0") == [0]
    assert parse_seeds("3, 3,1") == [3, 1]


def test_budgets_are_named_amounts() -> None:
    budget = parse_budget("steps=100, seconds=1.5,tokens=7")
    assert (budget.steps, budget.seconds, budget.tokens) == (100, 1.5, 7)
    assert parse_budget("") == parse_budget(",")


@pytest.mark.parametrize("text", ["steps", "steps=", "steps=-1", "steps=0", "seconds=nan", "seconds=inf", "=1"])
def test_a_budget_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--budget"):
        parse_budget(text)


def test_the_resuming_command_can_be_pasted() -> None:
    given = ["run", "--task", "a:b=(c d)", "--fresh", "--model", "x"]
    assert resuming(given) == "harness run --task 'a:b=(c d)' --model x"


def test_a_stored_run_in_company_is_timed_anew_when_single_latencies_are_asked_for(tmp_path: Path) -> None:
    line = [
        "run",
        "--task",
        "keyboard/correction",
        "--model",
        "keyboard/identity",
        "--limit",
        "3",
        "--out",
        str(tmp_path),
    ]

    def timings(*more: str) -> dict[str, Any]:
        assert cli.main([*line, *more]) == 0
        (file,) = tmp_path.rglob("result.json")
        return dict(json.loads(file.read_text())["timings"])

    assert timings()["requests_a_batch"] > 1
    alone = timings("--single")
    assert alone["requests_a_batch"] == 1
    assert timings("--single") == alone
    assert timings() == alone
