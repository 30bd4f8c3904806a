"""Which releases does the project ask for? Within its ranges, at their floors, or without their ceilings.

    python .ci/requirements.py ranges|floors|uncapped

`floors` leaves out torch and triton: old CPU builds of torch are on no index that every machine reaches, and another
build brings gigabytes of CUDA.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("dev", "oracles")
NOT_AT_FLOORS = ("torch", "triton", "setuptools")


def asked() -> list[str]:
    """Every requirement of the package and of the extras that the tests need."""
    return [*PROJECT["dependencies"], *(line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra])]


def floors() -> list[str]:
    """`name==floor`, without extras and markers."""
    found = [re.match(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\d.]+)", line) for line in PROJECT["dependencies"]]
    return [f"{match[1]}=={match[2]}" for match in found if match and match[1] not in NOT_AT_FLOORS]


def uncapped() -> list[str]:
    """The requirements without their ceilings: what a ceiling keeps out."""
    return [re.sub(r",<[\d.]+", "", line) for line in asked()]


if __name__ == "__main__":
    print("\n".join({"ranges": asked, "floors": floors, "uncapped": uncapped}[sys.argv[1]]()))
