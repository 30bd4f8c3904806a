"""Compute the package list: a hand-written one silently drops new folders from the wheel."""

from setuptools import find_packages, setup


def mapped() -> list[str]:
    """Every package below the four source folders, under its installed name."""
    found = ["harness", *("harness." + name for name in find_packages("harness"))]
    for folder in ("tasks", "models", "kernels"):
        found += [f"harness.{folder}", *(f"harness.{folder}.{name}" for name in find_packages(folder))]
    return found


setup(packages=mapped())
