"""Whatever a spec reaches, by import, by name or as a file beside a module, is seen by its digest; nothing else is."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness import modules, parts
from harness.api import registry
from harness.api.errors import UsageError
from harness.parts import resolve

# what is mutated -> (kind, spec, file that gets one more line)
REACHED = {
    "kernel": ("model", "sequence/mamba2", "kernels/gated_linear/cpu.py"),
    "kernel's helper": ("model", "sequence/mamba2", "kernels/gated_linear/_chunks.py"),
    "kernel of a kernel": ("model", "sequence/hyena", "kernels/vandermonde/gpu.py"),
    "inner decoder": ("decoder", "best_of", "models/decoders/sample.py"),
    "inner decoder that the spec names": ("decoder", "best_of:inner=(beam:width=2)", "models/decoders/_beam.py"),
    "draft": ("decoder", "speculative:draft=(lms/smollm2)", "models/lms/smollm2.py"),
    "second model": ("decoder", "rerank:model=lms/smollm2", "models/lms/_llama.py"),
    "one of several models": ("decoder", "ensemble:models=lms/ngram+lms/smollm2", "models/lms/_ngram_law.py"),
    "encoder": ("model", "embedders/probe", "models/embedders/minilm.py"),
    "language model of an embedder": ("model", "embedders/mean_pool", "models/lms/smollm2.py"),
    "mixer, and its kernel": ("model", "lms/scratch:mixer=sequence/lru", "kernels/linear_scan/reference.py"),
    "member": ("model", "seq2seq/ensemble:member=(seq2seq/gnmt:width=8)", "models/seq2seq/gnmt.py"),
    "metric": ("metric", "cer", "harness/metrics/cer.py"),
    "metric's helper": ("metric", "cer", "harness/metrics/_edit_distance.py"),
    "task helper": ("task", "keyboard/correction", "tasks/keyboard/_touch_errors.py"),
    "task's data file": ("task", "keyboard/correction", "tasks/keyboard/_messages.txt"),
    "what reads the rows of its data": ("task", "translation/multi30k", "harness/readers.py"),
    "program of a child process": ("model", "lms/smollm2", "models/lms/_template_process.py"),
    "every kernel that a peer may time": ("model", "kernels/cpu", "kernels/transducer/cpu.py"),
}
UNRELATED = (
    "tasks/translation/parallel.py",
    "models/lms/http.py",
    "models/decoders/lookahead.py",
    "models/sequence/titans.py",
    "kernels/prefix_softmax/gpu.py",
    "harness/metrics/rouge.py",
    "tasks/keyboard/README.md",
    "harness/runner.py",
)

# digests of all specs, again after each file got one more line and lost it, without importing any of them
PROBE = """
import json, sys
from harness import parts
root, specs, files = json.loads(sys.stdin.read())
def digests():
    parts.forget()
    return [parts.digest([parts.resolve(kind, spec)]) for kind, spec in specs]
found = {"": digests()}
for file in files:
    path = f"{root}/{file}"
    before = open(path, "rb").read()
    with open(path, "ab") as handle:
        handle.write(b"\\n\\n")
    found[file] = digests()
    with open(path, "wb") as handle:
        handle.write(before)
assert digests() == found[""]
print(json.dumps([found, sorted({"torch", "transformers", "harness.models.decoders.best_of"} & set(sys.modules))]))
"""


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], list[str]]:
    """The digests of every spec of REACHED in a copy of the sources, by the file that was changed."""
    root = tmp_path_factory.mktemp("copy")
    rooms = {"harness": "harness", "tasks": "harness/tasks", "models": "harness/models", "kernels": "harness/kernels"}
    for package, place in rooms.items():
        origin = Path(importlib.import_module("harness" if package == "harness" else f"harness.{package}").__path__[0])
        shutil.copytree(origin, root / place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    specs = [(kind, spec) for kind, spec, _ in REACHED.values()]
    files = [*dict.fromkeys(file for _, _, file in REACHED.values()), *UNRELATED]
    placed = [file if file.startswith("harness/") else f"harness/{file}" for file in files]
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps([str(root), specs, placed]),
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    found, imported = json.loads(done.stdout)
    return {"": found.pop("")} | dict(zip(files, found.values(), strict=True)), imported


@pytest.mark.parametrize("part", REACHED)
def test_one_more_line_in_a_part_of_each_kind_changes_the_digest(part: str, probed: Any) -> None:
    place, file = list(REACHED).index(part), REACHED[part][2]
    assert probed[0][file][place] != probed[0][""][place]


@pytest.mark.parametrize("file", UNRELATED)
def test_a_file_that_is_not_reached_changes_no_digest(file: str, probed: Any) -> None:
    # the last spec times every kernel
    assert probed[0][file][:-1] == probed[0][""][:-1]


def test_a_digest_imports_neither_torch_nor_the_parts(probed: Any) -> None:
    assert probed[1] == []


def tree(kind: registry.Kind, spec: str) -> list[str]:
    return [part.spec for part in resolve(kind, spec).walk()]


def test_a_spec_without_nested_ones_is_its_only_part() -> None:
    assert tree("decoder", "greedy") == ["decoders/greedy"]


def test_parts_are_a_tree_that_follows_the_nested_specs() -> None:
    found = resolve("decoder", "rerank:model=smollm2,inner=(best_of:inner=(beam:width=3))")
    assert [part.spec for part in found.parts] == ["lms/smollm2", "decoders/best_of:inner=beam:width=3"]
    assert [part.spec for part in found.parts[1].parts] == ["decoders/beam:width=3"]


def test_a_list_of_specs_names_each_of_them() -> None:
    assert tree("decoder", "ensemble:models=lms/ngram+lms/smollm2,inner=sample")[1:] == [
        "lms/ngram",
        "lms/smollm2",
        "decoders/sample",
    ]


def test_a_text_that_names_nothing_is_no_part() -> None:
    assert tree("decoder", "speculative:draft=(self:2)") == ["decoders/speculative:draft=self:2"]
    assert tree("decoder", "self_consistency:pattern=greedy")[1:] == [
        "decoders/sample:temperature=0.7",
        "decoders/greedy",
    ]
    assert tree("task", "knowledge/mmlu:subject=identity") == ["knowledge/mmlu:subject=identity"]


def test_kernels_are_told_by_name() -> None:
    assert resolve("model", "sequence/hyena").kernels() == ("causal_conv", "long_conv", "vandermonde")
    assert resolve("model", "lms/ngram").kernels() == ()


def test_a_default_that_names_itself_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "circle.py").write_text(
        '"""A circle."""\nfrom harness.api import registry\nfrom harness.api.registry import decoder\n\n\n'
        '@decoder(lossless="no", paper="none", differs="none")\nclass Circle:\n    """Round."""\n\n'
        '    inner: str = "circle/round"\n\n    def prepare(self):\n        registry.create("decoder", self.inner)\n'
    )
    plug_in(tmp_path, monkeypatch, "[harness.decoders]\ncircle/round = circle:Circle\n")
    assert tree("decoder", "circle/round") == ["circle/round", "circle/round"]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="no decoder named 'nonsense'"):
        resolve("decoder", "nonsense")


def plug_in(folder: Path, monkeypatch: pytest.MonkeyPatch, entry_points: str) -> None:
    facts = folder / "plug-1.0.dist-info"
    facts.mkdir(exist_ok=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(entry_points)
    monkeypatch.syspath_prepend(str(folder))
    parts.forget()


@pytest.fixture(autouse=True)
def fresh() -> Any:
    """Nothing is remembered from test to test."""
    yield
    parts.forget()


class TestModules:
    """One package with every way to reach a file."""

    SOURCES: ClassVar = {
        "__init__.py": "",
        "outer.py": '"""Outer."""\nimport json\nfrom plugged import _inner\nfrom . import _beside\n'
        "from ._near import X\n"
        "from pathlib import Path\n\nWORDS = Path(__file__).with_name('words.txt')\n\n\n"
        "def late():\n    import plugged._late\n    import importlib\n\n"
        "    importlib.import_module('plugged._named')\n    import sibling\n    return plugged\n",
        "_inner.py": "X = 1\n",
        "_beside.py": "X = 1\n",
        "_near.py": "X = 1\n",
        "_late.py": "X = 1\n",
        "_named.py": "from importlib.resources import files\n\nY = files('plugged') / 'templates' / '*.j2'\n",
        "words.txt": "one\n",
        "templates/a.j2": "a",
        "other.txt": "never read\n",
        "_alone.py": "X = 1\n",
        "notes.md": "never read\n",
    }

    def digest(self, folder: Path, changed: str) -> str:
        if changed:
            with open(folder / changed, "a") as handle:
                handle.write("# changed\n")
        parts.forget()
        return parts.digest([], ["plugged.outer"])

    def test_the_digest_follows_every_way_and_no_other(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = tmp_path / "plugged"
        for name, text in self.SOURCES.items():
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (package / name).write_text(text)
        (tmp_path / "sibling.py").write_text("X = 1\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        plain = self.digest(package, "")
        unread = ("other.txt", "_alone.py", "notes.md")
        assert [self.digest(package, name) for name in unread] == [plain] * 3
        changing = [name for name in self.SOURCES if name not in unread] + ["../sibling.py"]
        assert len({plain, *(self.digest(package, name) for name in changing)}) == 1 + 10
        assert "plugged" not in sys.modules

    def test_a_module_that_names_no_file_reads_all_that_lie_beside_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = tmp_path / "plugged"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "outer.py").write_text("from pathlib import Path\nX = list(Path(__file__).parent.glob('*.csv'))\n")
        (package / "a.csv").write_text("a")
        monkeypatch.syspath_prepend(str(tmp_path))
        assert len({self.digest(package, name) for name in ("", "a.csv", "outer.py")}) == 3

    def test_a_module_that_cannot_be_parsed_is_one_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "broken_module.py").write_text("x = = 1\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(Exception, match=r"broken_module.py, line 1: invalid syntax"):
            modules.read("broken_module")

    def test_a_library_is_not_read(self) -> None:
        assert set(modules.reached(["harness.models.lms._runtime"])) & {"torch", "numpy", "json"} == set()
