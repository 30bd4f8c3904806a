"""A file is there whole or not at all, and what a killed writer left goes with the next one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from harness import whole
from harness.cache import write_whole
from harness.journal import RunFolder, write_text_atomically


def parts(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob(".*") if file.is_file())


def killed_writer(folder: Path) -> None:
    """A process that dies between writing and renaming."""
    script = (
        "import os, sys; from pathlib import Path; from harness import whole\n"
        "handle, part = whole.part_beside(Path(sys.argv[1]) / 'manifest.json'); os.write(handle, b'half'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(folder)], check=False).returncode == 9


def test_a_part_of_a_process_that_is_gone_is_swept_and_one_of_a_living_process_stays(tmp_path):
    killed_writer(tmp_path)
    handle, mine = whole.part_beside(tmp_path / "manifest.json")
    os.close(handle)
    assert len(parts(tmp_path)) == 2
    whole.sweep(tmp_path)
    assert parts(tmp_path) == [mine.name]


def test_only_parts_are_swept_and_only_of_this_machine(tmp_path):
    names = [".other.part", ".a.elsewhere-4194999-xyz.part", ".hidden", ".manifest.json.lock"]
    for name in names:
        (tmp_path / name).touch()
    whole.sweep(tmp_path, deep=True)
    assert parts(tmp_path) == sorted(names)


def test_a_deep_sweep_goes_below_the_folder_and_a_plain_one_does_not(tmp_path):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    killed_writer(below)
    whole.sweep(tmp_path)
    assert len(parts(tmp_path)) == 1
    whole.sweep(tmp_path, deep=True)
    assert parts(tmp_path) == []


def test_a_folder_that_is_absent_has_nothing_to_sweep(tmp_path):
    whole.sweep(tmp_path / "none", deep=True)


def test_opening_a_run_sweeps_it(tmp_path):
    killed_writer(tmp_path)
    with RunFolder(tmp_path, print):
        assert parts(tmp_path) == []


def test_a_name_as_long_as_a_file_system_takes_can_still_be_written(tmp_path):
    for write in (write_whole, write_text_atomically):
        file = tmp_path / ("n" * 250 + ".json")
        write(file, "text")
        assert file.read_text() == "text"
        assert parts(tmp_path) == []
