"""How long the command line takes to start: CPU seconds of help, listing and refusing an unknown name.

python benchmarks/startup.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys

COMMANDS = {
    "--help": (0.3, ["--help"]),
    "list": (0.5, ["list"]),
    "list tasks": (0.5, ["list", "tasks"]),
    "unknown task": (0.5, ["run", "--task", "recal/noun_list", "--model", "lms/ngram"]),
    "unknown verb": (0.5, ["frobnicate"]),
}


def cpu_seconds(arguments: list[str]) -> float:
    """User and system seconds of one command in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "harness.cli", *arguments], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a row a command: median and range, and the figure to stay under."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{'command':14} {'median s':>9} {'min':>7} {'max':>7} {'limit':>6}  (CPU seconds, {rounds} rounds)")
    for name, (limit, arguments) in COMMANDS.items():
        times = [cpu_seconds(arguments) for _ in range(rounds)]
        print(f"{name:14} {statistics.median(times):9.3f} {min(times):7.3f} {max(times):7.3f} {limit:6.1f}")


if __name__ == "__main__":
    main()
