"""How does a board read as markdown? Tables whose cells can neither end them nor become markup; pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from harness.boards.records import Record, Shelf, path_of
from harness.boards.rows import Row, command, shown, three
from harness.boards.suites import Suite, mean, summary
from harness.boards.tables import Board, Matrix
from harness.methods import TOLD, legend, mark
from harness.terminal import plain

HEADERS = (
    "rank", "model", "metric", "value", "95% interval", "same as", "n", "seeds", "failed", "tokens/s", "examples/s",
    "p50 s", "p99 s", "memory", "parameters", "state", "joules", "device", "budget", "as greedy", "beside full weights",
    "date", "signature",
)  # fmt: skip
SHORT = ("rank", "model", "metric", "value", "95% interval", "same as", "n", "seeds", "examples/s", "memory", "device")
RIGHT = frozenset(HEADERS) - {
    "model", "metric", "95% interval", "same as", "device", "budget", "beside full weights", "date", "signature",
}  # fmt: skip
LEGEND = (
    f"The letter after an interval is its method: {legend(TOLD)}. Intervals are computed from each record's own "
    "per-example statistics by today's methods; the record keeps those of its day. "
    "Rows that share a letter under *same as* cannot be told apart by a paired t test on the same examples (standard "
    "errors from the jackknife, or the bootstrap for metrics that are no sums; "
    "Holm over all pairs, 5%); *rank* is one more than the number of rows that are surely better. Speeds count only "
    "beside rows of the same device; † marks those taken while other work ran on the machine, so that they are a "
    "lower bound; ‡ marks runs whose sources held changes beside their commit. *as greedy* is how many of a decoder's "
    "answers equal greedy decoding's; *beside full weights* is what rounding a model's weights adds to the value, with "
    "its paired interval. A row of several *seeds* is their mean (sd: their standard deviation); its interval and "
    "letters hold what seeds change. An empty cell is not known."
)
TAME = re.compile(r"[\w ,.%+-]*(?<!www)")  # text in which nothing needs to be looked at twice
GENERATED = "<!-- written by `harness publish` from leaderboards/records; a change by hand fails the tests -->"


def family_page(
    family: str,
    boards: Sequence[Board],
    matrix: Matrix,
    plots: Mapping[str, str],
    suites: Sequence[tuple[Suite, str]] = (),
) -> str:
    """A family's page: pictures, suites, contestants against tasks, and one table a protocol with its commands.

    `plots` maps a picture's file name to what it shows; `matrix` holds the tasks that are in none of the `suites`, each
    of which comes with its diagram's file name, or none.
    """
    parts = [GENERATED, f"# {inert(family)}", LEGEND]
    parts += [f"![{inert(what)}](plots/{quote(name)})" for name, what in plots.items()]
    folded: dict[str, list[str]] = {}
    for suite, diagram in suites:
        tasks = {board.task for board in suite.matrix.boards}
        parts += [
            f"## {inert(suite.title)}",
            f"![Critical-difference diagram](plots/{quote(diagram)})" if diagram else "",
        ]
        parts += [suite_table(suite), "<details><summary>Every table with its commands</summary>"]
        folded[suite.title] = sorted(tasks)
        parts += [*_tables([board for board in boards if board.task in tasks], "###"), "</details>"]
    if len(matrix.boards) > 1:
        parts += ["## Other tasks" if suites else "## All tasks", overview(matrix)]
    apart = {task for tasks in folded.values() for task in tasks}
    parts += _tables([board for board in boards if board.task not in apart], "##")
    return "\n\n".join(part for part in parts if part) + "\n"


def _tables(boards: Sequence[Board], head: str) -> list[str]:
    parts = []
    for task in dict.fromkeys(board.task for board in boards):
        parts.append(f"{head} {inert(task)}")
        for board in boards:
            if board.task == task:
                parts += [f"{inert(board.caption[:1].upper() + board.caption[1:])}.", table(board), commands(board)]
    return parts


def index_page(
    pages: Mapping[str, Sequence[Board]],
    matrices: Mapping[str, Matrix],
    shelf: Shelf,
    picture: str,
    suites: Mapping[str, Sequence[Suite]] | None = None,
) -> str:
    """`leaderboards/README.md`: the picture, the families, what is missing and what was left out.

    `matrices` hold every task of a family; where some of them make `suites`, those stand in their place.
    """
    parts = [GENERATED, "# Leaderboards"]
    if picture:
        parts.append(f"![Quality against speed](plots/{picture})")
    parts += [
        "Every number is a function of the [records](records); `harness publish` writes these pages, the plots and the "
        "[sortable page](site/index.html) from them.",
        LEGEND,
    ]
    lines = [
        {
            "family": f"[{inert(family)}]({quote(family)}.md)",
            "tasks": str(len({board.task for board in boards})),
            "tables": str(len(boards)),
            "rows": str(sum(len(board.rows) for board in boards)),
            "contestants": str(len(matrices[family].contestants)),
            "missing": str(len(matrices[family].missing)),
        }
        for family, boards in pages.items()
    ]
    parts.append(_table(lines, ("family", "tasks", "tables", "rows", "contestants", "missing")))
    for family, matrix in matrices.items():
        for suite in (suites or {}).get(family, ()):
            parts += [f"## {inert(suite.title)}", suite_table(suite)]
        if len(matrix.boards) > 1 and not (suites or {}).get(family):
            parts += [f"## {inert(family)}", overview(matrix)]
    older = [record for record in shelf.records if record.superseded_by]
    if older:
        parts += ["## Superseded records", "Kept as they were; the newest record of a cell is the one in its table."]
        parts.append("\n".join(_older(record) for record in older))
    if shelf.problems:
        parts += ["## Records left out", "\n".join(f"- {inert(problem)}" for problem in shelf.problems)]
    return "\n\n".join(parts) + "\n"


def extract(boards: Sequence[Board], tasks: Sequence[str], folder: str) -> str:
    """The tables of some tasks in few columns, for another page; `folder` is where the leaderboards lie from there."""
    parts: list[str] = []
    marks: set[str] = set()
    for task in tasks:
        found = [board for board in boards if board.task == task]
        if found:
            # the table with most rows stands for the task
            board = max(found, key=lambda board: (len(board.rows), max(row.n for row in board.rows), board.caption))
            marks |= {mark(row.method) for row in board.rows if row.low is not None}
            link = f"[{inert(board.family)}]({folder}/{quote(board.family)}.md)"
            parts.append(f"### {inert(task)}\n\n{table(board, SHORT)}\n\n{inert(board.caption)}; more in {link}.")
    if told := legend(marks):
        parts.append(f"The letter after an interval is its method: {told}.")
    return "\n\n".join(parts)


def table(board: Board, headers: Sequence[str] = HEADERS) -> str:
    """One board; columns that are empty throughout are left out, and signatures link to their records."""
    lines = []
    for row, record in zip(board.rows, board.records, strict=True):
        cells = {name: inert(text) for name, text in shown(row).items()}
        path = path_of(record)
        # the runs of several seeds lie side by side; such a row itself has no file
        name, where = (f"{len(record.parts)} runs", path.parent) if record.parts else (cells["signature"], path)
        cells["signature"] = f"[{name}](records/{quote(where.as_posix())})" + (" ‡" if row.changed else "")
        lines.append(cells)
    return _table(lines, [header for header in headers if any(line[header] for line in lines)])


def commands(board: Board) -> str:
    """How each row was made, folded away."""
    told = [
        f"{row.digest}  {command(record.result)}"
        for row, record in zip(board.rows, board.records, strict=True)
        if not record.imported
    ]
    if not told:
        return ""
    return "\n".join(["<details><summary>Commands</summary>", "", fenced(told), "", "</details>"])


def fenced(lines: Sequence[str]) -> str:
    """Lines as they stand, in a fence that nothing in them can end."""
    safe = [plain(line) for line in lines]
    longest = max((len(run) for line in safe for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *safe, fence])


def overview(matrix: Matrix) -> str:
    """Contestants against tasks; a mean rank only where no task is missing."""
    lines = []
    for name in sorted(matrix.contestants, key=lambda name: (matrix.mean_ranks.get(name, float("inf")), name)):
        line = {"contestant": inert(name)}
        known = 0
        for place, board in enumerate(matrix.boards):
            row = matrix.cells.get((name, place))
            line[board.task] = "n/a" if (name, place) in matrix.impossible else "missing"
            if row is not None:
                known += row.value is not None
                line[board.task] = inert(shown(row)["value"]) + (f" ({row.rank})" if row.rank else "")
        mean = matrix.mean_ranks.get(name)
        line["mean rank"] = f"{mean:.2f}" if mean is not None else f"none ({known} of {len(matrix.boards)} tasks)"
        lines.append(line)
    tasks = [board.task for board in matrix.boards]
    heads = {board.task: f"{board.task} {_arrow(board)}" for board in matrix.boards}
    note = ""
    if matrix.ranking is not None:
        friedman = three(matrix.ranking.friedman_p) if matrix.ranking.friedman_p == matrix.ranking.friedman_p else ""
        tested = f" Friedman's test over them: p = {friedman}." if friedman else ""
        note = (
            f"\n\nMean ranks are among the {len(matrix.complete)} contestants with every task "
            f"(in brackets: the rank within the task's own table).{tested}"
        )
    return _table(lines, ["contestant", *tasks, "mean rank"], {task: inert(heads[task]) for task in tasks}) + note


def suite_table(suite: Suite) -> str:
    """Data sets against contestants, best mean rank first; what holds over all sets only where none is missing."""
    matrix = suite.matrix
    names = sorted(matrix.contestants, key=lambda name: (matrix.mean_ranks.get(name, float("inf")), name))
    heads = {name: inert(name) for name in names}
    lines = []
    for at, place in sorted(enumerate(suite.places), key=lambda item: item[1]):
        rows = {name: matrix.cells.get((name, at)) for name in names}
        known = [row for row in rows.values() if row is not None and row.value is not None]
        best = max((_quality(row) for row in known), default=None)
        lines.append({suite.axis: inert(place)} | {name: _entry(rows[name], best) for name in names})
    whole = {name: [matrix.cells[name, place] for place in range(len(matrix.boards))] for name in matrix.complete}
    short = f"none ({{}} of {len(matrix.boards)})"
    absent = {name: short.format(sum((name, at) in matrix.cells for at in range(len(matrix.boards)))) for name in names}
    paces = {row.name: shown(row)["examples/s"] for row in summary(suite).rows}
    lines += [
        {suite.axis: "**mean**"} | absent | {name: f"{mean(rows):.4g}" for name, rows in whole.items()},
        {suite.axis: "**mean rank**"} | absent | {name: f"{rank:.2f}" for name, rank in matrix.mean_ranks.items()},
        {suite.axis: "**examples/s**"} | {name: paces.get(name, "") for name in names},
    ]
    first = matrix.boards[0].rows[0]
    arrow = "↑" if first.higher_is_better else "↓"
    told = f"{inert(first.metric)} {arrow} over {len(matrix.boards)} values of {inert(suite.axis)}"
    seeds = max(row.seeds for row in matrix.cells.values())
    told += f", means over {seeds} seeds ± their standard deviation" if seeds > 1 else ""
    ranking = matrix.ranking
    if ranking is not None and ranking.friedman_p == ranking.friedman_p:
        told += f"; Friedman's test over the sets: p = {three(ranking.friedman_p)}"
        told += f". Surely different by Wilcoxon's test with Holm's correction: {_pairs(matrix)}"
    return f"{told}.\n\n" + _table(lines, [suite.axis, *names], heads | {suite.axis: inert(suite.axis)})


def inert(text: object) -> str:
    """Names and answers are data: nothing in them ends a cell or is read as markup."""
    safe = plain(str(text))
    if TAME.fullmatch(safe):
        return safe
    return re.sub(
        r"[\\`*<>|&~$]|[\[\]](?=[(\[:])|\[(?=[^\]]*\][(\[:])|(?<!\w)_|_(?!\w)|(?<=://)|(?<=www)\.",
        lambda sign: f"&#{ord(sign.group())};" if sign.group() else "&#8203;",
        safe,
    )


def _table(lines: Sequence[Mapping[str, str]], headers: Sequence[str], heads: Mapping[str, str] | None = None) -> str:
    from tabulate import tabulate

    body = [[line[header] for header in headers] for line in lines]
    sides = ["right" if header in RIGHT else "left" for header in headers]
    titles = [(heads or {}).get(header, header) for header in headers]
    return str(
        tabulate(body, headers=titles, tablefmt="github", colalign=sides if body else None, disable_numparse=True)
    )


def _older(record: Record) -> str:
    result = record.result
    name = " + ".join(part for part in (result.model, result.decoder) if part)
    link = f"[{inert(result.digest)}](records/{quote(path_of(record).as_posix())})"
    return f"- {inert(result.task)}, {inert(name)}: {link} by {inert(record.superseded_by)}"


def _entry(row: Row | None, best: float | None) -> str:
    if row is None or row.value is None:
        return "missing"
    value = f"{row.value:.3f}" if abs(row.value) <= 1 else f"{row.value:.4g}"
    text = f"**{value}**" if _quality(row) == best else value
    return text + (f" ± {row.spread:.2g}" if row.spread is not None else "")


def _pairs(matrix: Matrix) -> str:
    ranking = matrix.ranking
    assert ranking is not None
    names = [inert(name) for name in matrix.complete]
    means = ranking.mean_ranks
    ordered = [sorted(pair, key=lambda row: means[row]) for pair in ranking.different]
    return "; ".join(f"{names[better]} before {names[worse]}" for better, worse in sorted(ordered)) or "no pair"


def _quality(row: Row) -> float:
    assert row.value is not None
    return row.value if row.higher_is_better else -row.value


def _arrow(board: Board) -> str:
    return "↑" if board.rows and board.rows[0].higher_is_better else "↓"
