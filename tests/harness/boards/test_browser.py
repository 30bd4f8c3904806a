"""In headless Chromium the page shows rows and details, and nothing that a model wrote ever runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.boards import site

sys.path.append(str(Path(__file__).parent))
from shelves import field, odd_record, shelf

pytestmark = pytest.mark.browser
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def dom(page: Path, fragment: str, profile: Path) -> str:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here")
    command = [program, *FLAGS, f"--user-data-dir={profile}", "--virtual-time-budget=4000", "--dump-dom"]
    shown = subprocess.run(
        [*command, page.as_uri() + fragment], capture_output=True, text=True, timeout=120, check=True
    )
    return shown.stdout


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("", "lms/best"),
        (f"#run={'d' * 16}", "Samples: the worst"),
        (f"#diff={'a' * 16},{'c' * 16}", "Example by example"),
    ],
)
def test_the_page_works_from_a_file_and_runs_no_answer(tmp_path, fragment, expected):
    site.write(site.build(shelf(*field(), odd_record())), tmp_path / "boards")
    shown = dom(tmp_path / "boards" / "site" / "index.html", fragment, tmp_path / "profile")
    assert expected in shown
    assert "<script>alert" not in shown
    assert "<img" not in shown
