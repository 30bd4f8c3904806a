"""Does anything ask for the data sets that a user replaces by own files? A misspelt name would change nothing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from harness import parts
from harness.api import registry
from harness.api.errors import HarnessError, UsageError
from harness.boundary import foreign
from harness.planning import Cell
from harness.sources import DataSources


def require_asked_for(cells: Sequence[Cell], sources: DataSources) -> None:
    """Refuse a name in `sources.own` that no task or model of the cells can ask for.

    A task says which it reads when it is asked for its data's digest; the names in the source of task and model count
    too, since a model may read one only while it loads.

    Errors: UsageError that names the nearest data set.
    """
    if not sources.own:
        return
    for task, split in dict.fromkeys((cell.task, cell.split) for cell in cells):
        try:
            with foreign(f"task {task}"):
                registry.create("task", task).data_digest(split, sources)
        except HarnessError:
            # the cell itself says why, in its row
            continue
    specs = dict.fromkeys(spec for cell in cells for spec in (("task", cell.task), ("model", cell.model)))
    source = b"\n".join(parts.sources(parts.resolve(kind, spec) for kind, spec in specs).values())
    for name in sources.own:
        if name not in sources.asked and f'"{name}"'.encode() not in source:
            near = difflib.get_close_matches(name, sources.asked, 1)
            known = (
                f"Did you mean {near[0]!r}?" if near else f"They ask for {', '.join(sorted(sources.asked)) or 'none'}."
            )
            raise UsageError(f"--own {name}=...: no task or model here asks for a data set {name!r}. {known}")
