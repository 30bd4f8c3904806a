"""What does it cost to have the runtime at hand? CPU seconds to the first answer, memory over the weights."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from engine_rows._bench import METER, Bench, Outcome, lines
from harness.api.types import Score
from harness.timing import peak_resident_bytes

LETTERS = "ABCD"


def start(bench: Bench) -> Outcome:
    """CPU seconds from process start to the first answer, weights already converted."""
    code = (
        "import sys, os; from pathlib import Path; from harness.sources import DataSources\n"
        "from harness.api.protocols import Setting, SilentMeter; from harness.api.types import Score\n"
        "from harness.models.lms._loading import put_up\n"
        "m = put_up(Path(sys.argv[1]), Setting(DataSources(None)))\n"
        "m.score([Score('The cat', ' sat')], meter=SilentMeter()); t = os.times(); print(t.user + t.system)"
    )
    bench.folder  # noqa: B018 - converted once, outside the measurement
    seconds = []
    for _ in range(bench.rounds):
        done = subprocess.run([sys.executable, "-c", code, str(bench.path)], capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))
    return Outcome("start", f"{np.median(seconds):.2f} s of CPU", wanted="< 4 s")


def memory(bench: Bench) -> Outcome:
    """Peak resident memory of an MMLU-like score call over what the process holds with the model loaded."""
    model = bench.ours()
    before = resident_bytes()
    peak, stop = [before], threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            peak[0] = max(peak[0], resident_bytes())

    rows = [json.loads(line) for line in lines("knowledge/mmlu.jsonl.gz")]
    head = "\n\n".join(f"{item['question']} {item['choices']}" for item in rows[:5])
    asked = [Score(f"{head}\n\n{item['question']}\nAnswer:", f" {letter}") for item in rows[5:55] for letter in LETTERS]
    thread = threading.Thread(target=watch)
    thread.start()
    model.score(asked, meter=METER)
    stop.set()
    thread.join()
    note = f"process peak {peak_resident_bytes() / 1e6:.0f} MB"
    return Outcome("memory", f"{(peak[0] - before) / 1e6:.0f} MB over weights", wanted="< 600 MB", note=note)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


ROWS = {"start": start, "memory": memory}
