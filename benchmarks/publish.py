"""Do leaderboards stay quick? Publish many records, open and sort their page, compare fifty rows at once.

    python benchmarks/publish.py [--records 10000] [--examples 200] [--browser chromium]

Prints one line a figure: what, how much, the limit. The page is opened headless from `file://`; its own clock says when
the first contents were painted and how long a sort by each column took.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np

from harness.boards import ranking, records, site
from harness.boards.records import Record, Sample
from harness.results import Measurement, RunResult, Samples

PROBE = """<script>
addEventListener("load", () => setTimeout(() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const sorts = [];
  for (const button of document.querySelectorAll("#table thead button")) {
    const start = performance.now();
    button.click();
    document.body.offsetHeight;
    sorts.push(performance.now() - start);
  }
  const found = { paint: paint ? paint.startTime : null, sorts,
                  ready: performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart,
                  rows: document.querySelectorAll("#table tbody tr").length };
  const told = Object.assign(document.createElement("pre"), { id: "probe", textContent: JSON.stringify(found) });
  document.body.replaceChildren(told);
}, 0));
</script>"""
TRIES = 5
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--browser", default="chromium")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = [synthetic(place, options.examples) for place in range(options.records)]
        for record in made:
            file = folder / "records" / records.path_of(record)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(records.to_text(record))
        del made
        # a process of its own, so that its peak memory is its own
        command = [sys.executable, __file__, "publish", scratch]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        say(f"publish {options.records:,} records ({options.examples} examples each)", found["seconds"], 10, "s")
        say("  of which this process was on a core", found["processor"], None, "s")
        say("  its peak memory", found["megabytes"], 500, "MB")
        say("  pages, plots and data files", found["files"], None, "files")
        browse(folder, options.browser)
    compare_rows()
    return 0


def synthetic(place: int, examples: int) -> Record:
    """One of 50 models on one of many tasks of 12 families, right with a probability of its own."""
    rng = np.random.default_rng(place)
    model, task = place % 50, place // 50
    rows = (rng.random((examples, 1)) < 0.3 + 0.01 * model) * 1.0
    value = float(rows.mean())
    signature = {
        "schema": 1, "harness": "0", "task": f"family{task % 12}/task{task}", "task_version": 1, "data": "synthetic",
        "split": "test", "limit": None, "seed": 0, "metrics": {"accuracy": "accuracy"}, "model": f"lms/model{model}",
        "weights": {}, "decoder": None, "dtype": "float32", "device": "cpu", "budget": None,
    }  # fmt: skip
    result = RunResult(
        signature=signature,
        digest=f"{place:016x}",
        metrics={"accuracy": Measurement(value, value - 0.05, value + 0.05, examples, True, "", "accuracy", (0, 1))},
        breakdown=(),
        examples=examples,
        failed=0,
        failures=(),
        identity={"parameters": 10**6 * (model + 1)},
        ran={},
        samples=Samples("same", {"accuracy": rows}),
        timings={"tokens_per_second": 100.0 + place % 977, "examples_per_second": 1.0 + place % 613,
                 "latency_seconds": {"p50": 0.1, "p99": 0.3}, "peak_resident_bytes": 2**30},
        environment={"cpu": f"CPU {place % 3}", "cores": 2, "threads": "1", "load": 0.5, "date": "2026-01-01T00:00:00"},
    )  # fmt: skip
    samples = tuple(Sample(str(row), "random", 1.0, "question " * 20, "target", "answer " * 20) for row in range(9))
    return Record(result, samples=samples)


def publish(folder: Path) -> None:
    """Read, rank, write; print what it took."""
    start = time.perf_counter()
    files = site.build(records.load_all(folder / "records"))
    site.write(files, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - start,
                "megabytes": peak,
                "processor": time.process_time(),
                "files": len(files),
            }
        )
    )


def browse(folder: Path, browser: str) -> None:
    """Open the page headless, with a probe in it that sorts by every column."""
    program = shutil.which(browser)
    if program is None:
        print(f"no {browser} here: the page's figures were not measured")
        return
    page = folder / "site" / "probe.html"
    text = (folder / "site" / "index.html").read_text()
    # the page's own policy would stop the probe, as it should
    text = text.replace('http-equiv="Content-Security-Policy"', 'name="no-policy"').replace(
        "</body>", PROBE + "</body>"
    )
    page.write_text(text)
    found = {"paint": None}
    for _ in range(TRIES):
        # the browser hands the page over as soon as it is loaded, now and then before its first paint was noted
        if found["paint"] is None:
            found = _opened(program, page)
    if found["paint"] is None:
        print(f"no first paint was noted in {TRIES} tries")
        return
    say("first contentful paint", found["paint"] / 1000, 1, "s")
    say("  page ready", found["ready"] / 1000, None, "s")
    say(f"slowest of {len(found['sorts'])} sorts", max(found["sorts"]), 200, "ms")


def _opened(program: str, page: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *FLAGS, f"--user-data-dir={profile}", "--timeout=20000", "--dump-dom", page.as_uri()]
        dumped = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    found: dict[str, Any] = json.loads(unescape(dumped.split('id="probe">')[1].split("</pre>")[0]))
    return found


def compare_rows(rows: int = 50, examples: int = 10_000) -> None:
    """Paired bootstrap of 1,000 draws over all rows, and all their pairs."""
    rng = np.random.default_rng(0)
    base = synthetic(0, examples).result
    made = []
    for place in range(rows):
        scores = (rng.random((examples, 1)) < 0.3 + 0.005 * place) * 1.0
        value = float(scores.mean())
        metrics = {"accuracy": Measurement(value, value, value, examples, True, "", "accuracy", (0, 1))}
        samples = Samples("same", {"accuracy": scores})
        made.append(
            Record(RunResult(base.signature, f"{place:016x}", metrics, (), examples, 0, (), {}, {}, (), samples))
        )
    start = time.perf_counter()
    found = ranking.separated(made, draws=1000)
    taken = time.perf_counter() - start
    say(f"1,000-draw paired bootstrap, {examples:,} examples x {rows} rows ({len(found)} pairs differ)", taken, 10, "s")


def say(what: str, value: float, limit: float | None, unit: str) -> None:
    told = "" if limit is None else f"   (limit {limit:g} {unit}: {'met' if value < limit else 'MISSED'})"
    print(f"{what}: {value:.4g} {unit}{told}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["publish"]:
        publish(Path(sys.argv[2]))
    else:
        sys.exit(main())
