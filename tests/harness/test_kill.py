"""`kill -9` at random moments: nothing finished is computed twice, none is lost, and the result is the same."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from arena import ScoreTask, pairing, session

from harness.journal import RESULT, entries
from harness.results import without_measured
from harness.runner import run_pairing

SIZE = 60  # examples of two requests
CHILD = f"""
import sys
from pathlib import Path
sys.path.append({str(Path(__file__).parent)!r})
from arena import Scorer, ScoreTask, pairing, session
from harness.runner import run_pairing

def hook(requests):
    # one batch for each byte that the parent sends, so that it decides how far this process comes
    if not sys.stdin.buffer.read(1):
        raise KeyboardInterrupt
    print("asked", flush=True)

model = Scorer(log=Path(sys.argv[2]), hook=hook)
run_pairing(pairing(ScoreTask(size={SIZE}), model), session(Path(sys.argv[1]), batch_requests=4))
"""


def child(out: Path, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(out), str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def asked_of(log: Path) -> set[str]:
    """Ids of the examples that a session put before the model."""
    lines = log.read_text().splitlines() if log.exists() else []
    return {line.split("|")[0].replace(" ", "-") for line in lines if line.startswith("test ")}


def journaled(out: Path) -> set[str]:
    return {entry.id for journal in out.rglob("journal.jsonl") for _, entry in entries(journal.parent)}


def test_a_run_killed_ten_times_ends_in_the_same_result(tmp_path):
    rng = random.Random(20261123)
    out = tmp_path / "runs"
    for number in range(10):
        before, log = journaled(out), tmp_path / f"log{number}"
        batches = rng.randint(1, 2)
        with child(out, log) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"x" * batches)
            process.stdin.flush()
            for _ in range(batches):
                assert process.stdout.readline() == b"asked\n"
            # anywhere within the measuring, the write, the flush and the start of the next batch
            moment = time.perf_counter() + rng.random() * 4e-3
            while time.perf_counter() < moment:
                pass
            process.kill()
            process.communicate()
            assert process.returncode == -9
        assert not before & asked_of(log), "a finished example was computed again"
        assert before <= journaled(out), "a finished example was lost"

    before, log = journaled(out), tmp_path / "last"
    assert 0 < len(before) < SIZE
    with child(out, log) as process:
        process.communicate(b"x" * SIZE)
        assert process.returncode == 0
    assert asked_of(log) == {f"test-{index}" for index in range(SIZE)} - before
    calm = run_pairing(pairing(ScoreTask(size=SIZE)), session(tmp_path / "calm"))
    [killed] = out.rglob(RESULT)
    stored = [without_measured(json.loads(file.read_text())) for file in (killed, calm.folder / RESULT)]
    assert json.dumps(stored[0]) == json.dumps(stored[1])
    assert json.loads(killed.read_text())["timings"]["wall_seconds"] > 0
