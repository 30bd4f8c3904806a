"""Which errors end a command in one clear line, and with which exit code."""

from __future__ import annotations


class HarnessError(Exception):
    """A problem that the user can act on; the command line prints its message alone and exits 1."""

    exit_code: int = 1


class UsageError(HarnessError):
    """Wrong usage, an unknown name or a combination that makes no sense; exit code 2."""

    exit_code: int = 2


class DataError(HarnessError):
    """Data or weights are missing, cut short, or differ from their pinned digest; exit code 2."""

    exit_code: int = 2
