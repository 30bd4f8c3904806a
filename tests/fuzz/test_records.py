"""Do damaged records, results, journals and files of lm-eval cost their own line and nothing else?"""

from __future__ import annotations

import json
import signal
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from damage import damaged_bytes, damaged_json

from harness import cli, results
from harness import signature as signatures
from harness.api import registry
from harness.api.errors import HarnessError
from harness.boards import appendix, records, site
from harness.exchange import every_eval_ever, flat, hub, lm_eval, mteb
from harness.gate import accuracy
from harness.journal import JOURNAL, RESULT, RunFolder, entries
from harness.ledger import Ledger, UnevenError
from harness.pairing import metrics_of

T = TypeVar("T")
RECORDS = Path(__file__).parents[2] / "leaderboards" / "records"
# a scored text, a decoder with times by example, a kernel with a breakdown by length, an embedder, a learner
FAMILIES = ("language_modelling-wikitext", "decoding-mbpp", "kernels-linear_scan", "embedding", "long_range")
LONGEST = 10  # seconds that a reader may take for one damaged input
FEW, MANY = 50, 2000
AMOUNTS = pytest.mark.parametrize("amount", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])


@contextmanager
def in_time() -> Iterator[None]:
    """A hang is an error, and so is a warning of NumPy's: both reach whoever publishes."""

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {LONGEST} seconds for one input")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def told_or(read: Callable[..., T], *given: Any) -> T | None:
    """What a reader gives; None where it tells, in one line, why it does not."""
    try:
        return read(*given)
    except HarnessError as problem:
        line = str(problem)
    assert line
    assert "\n" not in line
    return None


def good_records() -> list[dict[str, Any]]:
    """The smallest published record of each family."""
    found = []
    for family in FAMILIES:
        files = [file for file in RECORDS.rglob("*.json") if file.parent.name.startswith(family)]
        smallest = min(files, key=lambda file: (file.stat().st_size, file.name))
        found.append(json.loads(smallest.read_text(encoding="utf-8")))
    return found


def damaged_record(good: dict[str, Any], rng: Random) -> bytes:
    """Bytes of a damaged record; half of them sealed again, so that damage reaches what a digest would give away."""
    if rng.random() < 0.3:
        return damaged_bytes(json.dumps(good).encode(), rng)
    # a part on its own, or nearly all damage would fall on the longest list
    part = rng.choice(sorted(good))
    found = {**good, part: damaged_json(good[part], rng)}
    if rng.random() < 0.5 and isinstance(found["signature"], dict):
        # what cannot be signed stays as it is
        with suppress(TypeError, ValueError):
            found["digest"] = signatures.digest(found["signature"])
    return json.dumps(found).encode()


@AMOUNTS
def test_a_damaged_record_is_told_or_can_be_shown_and_exported(tmp_path: Path, amount: int) -> None:
    good, read = good_records(), 0
    file = tmp_path / "r.json"
    for seed in range(amount):
        rng = Random(seed)
        file.write_bytes(damaged_record(rng.choice(good), rng))
        with in_time():
            found = told_or(records.load, file)
            if found is None:
                continue
            read += 1
            for text in (*site.build(records.Shelf((found,))).values(), appendix.write([found])):
                text.encode()
            for export in (lm_eval.export, mteb.export, hub.eval_results, hub.model_index, flat.as_csv,
                           every_eval_ever.export):  # fmt: skip
                (told_or(export, [found.result]) or "").encode()
    # harmless damage is read: the test looks at pages, too
    assert read > amount / 20


@AMOUNTS
def test_a_damaged_result_is_told_or_comes_back_as_it_was_read(tmp_path: Path, amount: int) -> None:
    good = good_records()
    for seed in range(amount):
        rng = Random(seed)
        (tmp_path / RESULT).write_bytes(damaged_record(rng.choice(good), rng))
        with in_time():
            found = told_or(results.load, tmp_path)
            if found is None:
                continue
            results.save(found, tmp_path / RESULT)
            assert results.to_json(results.load(tmp_path)) == results.to_json(found), seed
            told_or(accuracy.cell_of, found)
            for whole in good:
                verdicts = accuracy.check_results(
                    {"cell": results.from_json(whole)}, {"cell": [found]}, accuracy.AccuracyRules(draws=20)
                )
                assert verdicts[0].kind in ("same", "better", "worse", "undecided", "error")


def sealed_line(body: object) -> bytes:
    text = json.dumps(body, separators=(",", ":")).encode()
    return b'{"crc32":"' + f"{zlib.crc32(text):08x}".encode() + b'","entry":' + text + b"}\n"


ENTRY = {
    "id": "a", "tags": {"length": "3"}, "cluster": "c", "asked": "x",
    "responses": [{"type": "Generated", "text": "t", "tokens": [1, 2]}, {"type": "Failure", "error": "e"}],
    "statistics": {"cer": [1.0, 2.0], "wer": [0.0, 1.0]}, "timings": {
        "latency": 0.1, "first_token": 0.05, "tokens": 3, "spent": {"seconds": 0.1},
        "batch": {"spans": {"decode": 0.1}, "tokens": {"decode": 3}, "counters": {"steps": 2}, "calls": 1,
                  "seconds": 0.1, "setup": {"load": 0.2}}}}  # fmt: skip


@AMOUNTS
def test_a_damaged_line_of_a_journal_costs_its_example_alone(tmp_path: Path, amount: int) -> None:
    task = registry.create("task", "keyboard/correction")
    metrics = metrics_of(task, "keyboard/correction")[:2]
    assert [metric.name for metric in metrics] == ["cer", "wer"]
    for seed in range(amount):
        rng = Random(seed)
        whole = sealed_line({**ENTRY, "id": "whole"})
        if rng.random() < 0.5:
            damaged = damaged_bytes(sealed_line(ENTRY), rng)
        else:
            part = rng.choice(sorted(ENTRY))
            damaged = sealed_line({**ENTRY, part: damaged_json(ENTRY[part], rng)})
        # a line feed among the damage ends a line, as it would on a disk
        (tmp_path / JOURNAL).write_bytes(damaged.rstrip(b"\n") + b"\n" + whole)
        ledger = Ledger(metrics)
        with in_time(), RunFolder(tmp_path, lambda _: None) as folder:
            found = [entry for _, entry in folder.replay()]
            # a run whose lines contradict each other begins anew
            with suppress(UnevenError):
                for entry in found:
                    if not ledger.knows(entry.id) and {"cer", "wer"} <= set(entry.statistics):
                        ledger.add(entry)
            assert [entry.id for entry in found if entry.id == "whole"] == ["whole"], seed
            assert [entry.id for _, entry in entries(tmp_path)] == [entry.id for entry in found]


THEIRS = {
    "results": {"h": {"acc,none": 0.5, "acc_stderr,none": 0.01, "alias": "h"}, "k": {"f1,strict": 0.25}},
    "config": {"model": "hf", "random_seed": 0, "model_dtype": "torch.float32", "model_num_parameters": 1000,
               "limit": None, "model_sha": "s"},
    "versions": {"h": 1.0}, "n-shot": {"h": 0}, "n-samples": {"h": {"original": 3, "effective": 3}},
    "higher_is_better": {"h": {"acc": True}}, "task_hashes": {"h": "abc"}, "date": 1.0, "git_hash": "g",
    "model_name": "m", "lm_eval_version": "0.4.9"}  # fmt: skip


@AMOUNTS
def test_a_damaged_file_of_lm_eval_is_told_or_becomes_records_that_can_be_read(tmp_path: Path, amount: int) -> None:
    for seed in range(amount):
        rng = Random(seed)
        part = rng.choice(sorted(THEIRS))
        found = {**THEIRS, part: damaged_json(THEIRS[part], rng)}
        text = damaged_bytes(json.dumps(THEIRS).encode(), rng) if rng.random() < 0.3 else json.dumps(found).encode()
        with in_time():
            read = told_or(lm_eval.read, text.decode("utf-8", "replace"), {})
            for place, record in enumerate(read or []):
                file = tmp_path / f"{place}.json"
                file.write_text(records.to_text(record), encoding="utf-8")
                site.build(records.Shelf((records.load(file),)))


def test_publish_writes_the_healthy_records_among_two_hundred_damaged_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = good_records()
    folder = tmp_path / "records"
    folder.mkdir()
    for place, whole in enumerate(good):
        (folder / f"good-{place}.json").write_text(json.dumps(whole))
    unreadable = 0
    for seed in range(200):
        rng = Random(seed)
        file = folder / f"damaged-{seed}.json"
        file.write_bytes(damaged_record(rng.choice(good), rng))
        try:
            records.load(file)
        except HarnessError:
            unreadable += 1
    assert cli.main(["publish", "--records", str(folder), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.count("left out: ") >= unreadable > 100
    assert "internal error" not in said
    tasks = {whole["signature"]["task"].partition("/")[0] for whole in good}
    assert {file.stem for file in (tmp_path / "out").glob("*.md")} >= tasks
