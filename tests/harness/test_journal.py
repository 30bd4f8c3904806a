"""What is on disk stays on disk, and what is damaged is noticed."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from harness.api.errors import HarnessError
from harness.api.types import Generated
from harness.journal import JOURNAL, MANIFEST, Entry, RunFolder, entries, entry_at, write_text_atomically


def entry(name: str, text: str = "answer") -> Entry:
    return Entry(name, (Generated(text),), {"exact_match": [1.0]}, tags={"length": "3"}, cluster="c", asked="ab")


def filled(path: Path, names: str = "abc") -> list[str]:
    """A journal with one entry a name; what was announced while writing it."""
    said: list[str] = []
    with RunFolder(path, said.append) as folder:
        list(folder.replay())
        for name in names:
            folder.append([entry(name)])
    return said


def replayed(path: Path) -> tuple[list[str], list[str]]:
    """Ids that a new process finds, and what it is told."""
    said: list[str] = []
    with RunFolder(path, said.append) as folder:
        return [found.id for _, found in folder.replay()], said


def test_an_empty_journal_replays_nothing(tmp_path):
    assert replayed(tmp_path / "run") == ([], [])


def test_entries_come_back_as_they_went_in(tmp_path):
    filled(tmp_path)
    assert [found for _, found in entries(tmp_path)] == [entry("a"), entry("b"), entry("c")]
    assert [entry_at(tmp_path, offset) for offset, _ in entries(tmp_path)] == [entry("a"), entry("b"), entry("c")]


def test_a_second_session_appends_after_the_first(tmp_path):
    filled(tmp_path, "ab")
    filled(tmp_path, "cd")
    assert replayed(tmp_path) == (["a", "b", "c", "d"], [])


@pytest.mark.parametrize("cut", [1, 2, 30, 60])
def test_a_torn_last_line_is_dropped_with_one_clear_line(tmp_path, cut):
    filled(tmp_path)
    file = tmp_path / JOURNAL
    file.write_bytes(file.read_bytes()[:-cut])
    names, said = replayed(tmp_path)
    assert names == ["a", "b"]
    assert len(said) == 1
    assert "cut short" in said[0]
    filled(tmp_path, "d")
    assert replayed(tmp_path) == (["a", "b", "d"], [])


def test_a_journal_cut_anywhere_keeps_every_whole_line(tmp_path):
    filled(tmp_path)
    data = (tmp_path / JOURNAL).read_bytes()
    ends = [place + 1 for place, byte in enumerate(data) if byte == 10]
    for size in range(len(data) + 1):
        (tmp_path / JOURNAL).write_bytes(data[:size])
        assert len(replayed(tmp_path)[0]) == sum(end <= size for end in ends)


GOOD = {"id": "a", "asked": "x", "responses": [{"type": "Generated", "text": "t"}], "statistics": {"m": [1.0]},
        "timings": {}}  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {key: value for key, value in GOOD.items() if key != "id"},
        [1],
        GOOD | {"statistics": {"m": [{"$float": "x"}]}},
        GOOD | {"statistics": {"m": {"$array": "AAAA", "dtype": "<f8", "shape": [1]}}},
        GOOD | {"responses": ["x"]},
        GOOD | {"responses": [{"type": "Generated", "text": "t", "new": 1}]},
        GOOD | {"timings": {"latency": "x"}},
        GOOD | {"timings": {"batch": {"spans": {"decode": None}}}},
        GOOD | {"tags": {"length": 3}},
    ],
)
def test_a_line_of_another_shape_is_passed_over_though_its_checksum_holds(tmp_path, body):
    filled(tmp_path, "b")
    text = json.dumps(body, separators=(",", ":")).encode()
    line = b'{"crc32":"' + f"{zlib.crc32(text):08x}".encode() + b'","entry":' + text + b"}\n"
    (tmp_path / JOURNAL).write_bytes(line + (tmp_path / JOURNAL).read_bytes())
    names, said = replayed(tmp_path)
    assert names == ["b"]
    assert "1 damaged line(s); those examples are computed again" in said[0]


def test_any_changed_byte_of_a_middle_line_loses_that_example_alone_and_is_announced(tmp_path):
    filled(tmp_path)
    data = (tmp_path / JOURNAL).read_bytes()
    first, second = data.index(b"\n") + 1, data.index(b"\n", data.index(b"\n") + 1)
    for place in range(first, second, 7):
        changed = bytearray(data)
        changed[place] ^= 1
        (tmp_path / JOURNAL).write_bytes(bytes(changed))
        names, said = replayed(tmp_path)
        if changed[place] == 10:
            continue
        assert names == ["a", "c"]
        assert len(said) == 1
        assert "1 damaged line" in said[0]


def test_a_line_that_is_no_entry_at_all_is_passed_over(tmp_path):
    filled(tmp_path, "a")
    with open(tmp_path / JOURNAL, "ab") as handle:
        handle.write(b"\x00\xff not JSON\n")
    assert replayed(tmp_path)[0] == ["a"]


def test_two_processes_do_not_write_one_run(tmp_path):
    with (
        RunFolder(tmp_path, print),
        pytest.raises(HarnessError, match="another process is writing"),
        RunFolder(tmp_path, print),
    ):
        pytest.fail("the second one got in")


def test_a_dead_process_leaves_no_lock(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from harness.journal import RunFolder\n"
        "RunFolder(Path(sys.argv[1]), print).__enter__(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == -9
    assert replayed(tmp_path) == ([], [])


def test_a_full_disk_is_one_clear_line_and_loses_nothing_that_was_finished(tmp_path):
    filled(tmp_path, "ab")
    size = (tmp_path / JOURNAL).stat().st_size
    with RunFolder(tmp_path, print) as folder:
        list(folder.replay())
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
        try:
            with pytest.raises(HarnessError, match="2 finished examples are safe") as caught:
                folder.append([entry("c", "long " * 100)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert (tmp_path / JOURNAL).stat().st_size == size
    assert replayed(tmp_path) == (["a", "b"], [])


def test_a_full_disk_leaves_the_old_file_when_one_is_replaced(tmp_path):
    file = tmp_path / "result.json"
    write_text_atomically(file, "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(HarnessError, match="cannot write"):
            write_text_atomically(file, "new " * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_read_only_folder_is_one_clear_line(tmp_path):
    # root may write anywhere, so the child gives its rights up where it has any
    script = (
        "import os, sys; from pathlib import Path; from harness.journal import RunFolder\n"
        "from harness.api.errors import HarnessError\n"
        "os.getuid() or os.setuid(65534)\n"
        "try: RunFolder(Path(sys.argv[1]) / 'run', print).__enter__()\n"
        "except HarnessError as problem: print(problem)"
    )
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o555)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o755)
    assert done.stderr == ""
    assert done.stdout.startswith(f"cannot write {tmp_path}/run: Permission denied.")
    assert done.stdout.count("\n") == 1


def test_a_damaged_json_file_is_ignored_with_one_line(tmp_path):
    (tmp_path / MANIFEST).write_text('{"half": ')
    said: list[str] = []
    with RunFolder(tmp_path, said.append) as folder:
        assert folder.read_json(MANIFEST) is None
        assert folder.read_json("absent.json") is None
    assert len(said) == 1


def test_appending_before_the_replay_is_refused(tmp_path):
    with RunFolder(tmp_path, print) as folder, pytest.raises(HarnessError, match="replayed"):
        folder.append([entry("a")])


def test_an_entry_is_on_disk_before_append_returns(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: waited.append(os.fstat(descriptor).st_size))
    with RunFolder(tmp_path, print) as folder:
        list(folder.replay())
        folder.append([entry("a"), entry("b")])
        folder.append([entry("c")])
    sizes = [len(line) for line in (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)]
    assert waited == [sum(sizes[:2]), sum(sizes)]
