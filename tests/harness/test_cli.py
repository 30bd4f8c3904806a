"""The command line answers fast, in one line when something is wrong, and imports nothing that it does not need."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.api import registry
from harness.commands import list as list_verb
from harness.commands.fetch import own_folders

HEAVY = ("torch", "transformers", "datasets", "numpy.random", "matplotlib", "pandas")


def harness(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; what heavy modules it imported stand on the last line of stderr."""
    code = (
        "import sys; from harness.cli import main\n"
        "try: code = main(sys.argv[1:])\n"
        "except SystemExit as stop: code = stop.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["list"], 0),
        (["list", "tasks", "--json"], 0),
        (["run", "--help"], 0),
        (["run", "--task", "no/such_task", "--model", "lms/ngram"], 2),
        (["frobnicate"], 2),
    ],
)
def test_help_listing_and_unknown_names_import_nothing_heavy(arguments: list[str], code: int) -> None:
    done = harness(*arguments)
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"


def test_an_unknown_verb_is_one_line_with_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lst"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Did you mean 'list'?" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "recal/noun_list"], "Did you mean 'recall/noun_list'?"),
        (["show", "noun_list:lenght=3"], "has no parameter 'lenght'. Did you mean 'length'?"),
        (["show", "noun_list:"], "ends with a colon"),
        (["show", ""], "nothing is named ''"),
        (["show", "\ud800\x00\x1b[31m\n🙂"], "nothing is named"),
        (["list", "modles"], "the kinds are tasks, models"),
        (["fetch", "exact_match"], "has nothing to fetch"),
        (["fetch", "noun_list", "--own", "x"], "is not DATASET=FOLDER"),
        (["run", "--task", "recall/nounlist", "--model", "ngram"], "Did you mean 'recall/noun_list'?"),
        (["run", "--task", "noun_list:n=3", "--model", "ngram"], "has no parameter 'n'"),
        (["run", "--task", "noun_list", "--model", "ngramm"], "Did you mean 'lms/ngram'?"),
        (["run", "--task", "noun_list", "--model", "ngram", "--decoder", "gready"], "no decoder named 'gready'"),
        (["run", "--task", "noun_list", "--model", "ngram", "--limit", "0"], "limit is 0"),
        (["run", "--task", "noun_list", "--model", "ngram", "--limit", "-3"], "limit is -3"),
        (["run", "--task", "noun_list", "--model", "ngram", "--budget", "money=3"], "'money'"),
        (["run", "--task", "noun_list", "--model", "ngram", "--seed", "one"], "'one'"),
        (["run", "--task", "", "--model", "ngram"], "task"),
        (["compare", "no/such/run", "nor/this"], "no/such/run"),
        (["rescore", "no/such/run"], "no/such/run"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_two(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1, captured.err
    assert "\x1b" not in captured.err
    assert captured.out == ""


def test_a_typed_name_that_cannot_be_encoded_is_still_one_line() -> None:
    done = harness("show", "caf\udce9\x1b[2J", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr


def test_every_verb_has_a_line_of_help() -> None:
    verbs = cli.verbs()
    assert {"run", "list", "show", "compare", "rescore", "fetch", "doctor", "publish"} <= set(verbs)
    assert all(line.endswith(".") for line in verbs.values())


def test_an_unexpected_error_is_one_line_unless_debugging() -> None:
    code = (
        "import sys; from harness import cli; import harness.commands.list as verb\n"
        "def bad(options): raise ZeroDivisionError('two\\nlines')\n"
        "verb.execute = bad; sys.exit(cli.main(['list']))"
    )
    for debug, traceback in (("0", False), ("1", True)):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "HARNESS_DEBUG": debug}
        )
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) is traceback
        assert "ZeroDivisionError" in done.stderr
        assert traceback or done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m harness.cli list --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "{"
    assert done.stderr == ""


def test_list_json_holds_every_registered_name(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["list", "--json"])
    listing = json.loads(capsys.readouterr().out)
    assert code in (0, 1)
    for kind in registry.KINDS:
        assert [entry["name"] for entry in listing[f"{kind}s"]] == registry.names(kind)


def test_list_takes_a_kind_in_singular_or_plural() -> None:
    assert list_verb.kind_named("task") == list_verb.kind_named("tasks") == "task"


def test_show_loads_a_model_on_request_and_says_why_it_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "ngram", "--load"]) == 0
    page = capsys.readouterr().out
    assert "\nloaded\n" in page
    assert "context_length" in page.split("\nloaded\n")[1]
    assert cli.main(["show", "noun_list", "--load"]) == 2
    assert "recall/noun_list is a task" in capsys.readouterr().err


def test_show_prints_paper_licence_metrics_pins_and_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "noun_list"]) == 0
    page = capsys.readouterr().out
    for expected in ("task recall/noun_list", "paper", "licence", "metrics", "DataFile", "condition", "length"):
        assert expected in page


def test_show_json_is_a_list_of_cards(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "exact_match", "--json"]) == 0
    (card,) = json.loads(capsys.readouterr().out)
    assert (card["kind"], card["name"]) == ("metric", "exact_match")


def test_own_folders_are_pairs() -> None:
    assert own_folders(["imdb=/x", "samsum=y=z"]) == {"imdb": Path("/x"), "samsum": Path("y=z")}


def test_fetch_of_a_generated_task_says_that_nothing_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fetch", "long_context/passkey"]) == 0
    assert "long_context/passkey test: generated" in capsys.readouterr().out


RUN = ("-m", "harness", "run", "--task", "keyboard/correction", "--model", "keyboard/identity", "--limit", "3")


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
def test_a_run_needs_no_open_stream_to_write_to(closed: str, tmp_path: Path) -> None:
    line = shlex.join([sys.executable, *RUN, "--out", str(tmp_path)])
    done = subprocess.run(["sh", "-c", f"exec {line} {closed}"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == "" or "2>" not in closed
    assert ("keyboard/identity" in done.stdout) is (closed == "2>&-")
    assert len(list(tmp_path.rglob("result.json"))) == 1


def test_a_terminal_that_hung_up_cannot_change_the_exit_code() -> None:
    code = (
        "import os, signal, sys; from harness import cli; import harness.commands.list as verb\n"
        "def hang_up(options): os.kill(os.getpid(), signal.SIGHUP)\n"
        "verb.execute = hang_up; sys.exit(cli.main(['list']))"
    )
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=write)
    os.close(write)
    assert done.returncode == 129


def test_show_tells_what_a_spec_reaches_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "lms/scratch:mixer=sequence/hyena"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    at = lines.index(["reached", "by", "name,", "and", "signed", "with", "it"])
    assert lines[at + 1 :] == [
        ["model", "sequence/hyena"],
        ["kernel", "causal_conv"],
        ["kernel", "long_conv"],
        ["kernel", "vandermonde"],
    ]


def test_a_misspelt_option_is_answered_with_the_nearest_one_of_its_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["run", "--task", "keyboard/correction", "--model", "keyboard/identity", "--limt", "3"])
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said == "harness run: no option '--limt'. Did you mean '--limit'? (see `harness run --help`)\n"


def test_an_error_of_the_system_names_the_place_and_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    run = ["run", "--task", "keyboard/correction", "--model", "keyboard/identity", "--limit", "2"]
    assert cli.main([*run, "--out", str(tmp_path / "runs")]) == 0
    capsys.readouterr()
    assert cli.main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "file" / "page.md")]) == 1
    assert capsys.readouterr().err == f"harness: {tmp_path / 'file'}: File exists.\n"
