"""The table: on the terminal, and as Markdown for `docs/performance.md`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table
from rich.text import Text

from bench.figures import BUSY_ENOUGH
from bench.results import Entry, RowResults


def table(rows: Iterable[RowResults]) -> Table:
    """Return the table: name, figure, control, ratio, spread of the judged value, limit, and pass or not."""
    found = Table(title="Speed and memory", title_justify="left")
    found.add_column("what")
    for title in ("figure", "control", "ratio", "spread"):
        found.add_column(title, justify="right")
    found.add_column("bar")
    found.add_column("")
    for row in rows:
        for entry in row.entries:
            found.add_row(*_measured(entry), entry.bar, Text("quick", "dim") if row.quick else _verdict(entry))
        if row.fault:
            found.add_row(row.row, Text("not measured", "red"), "", "", "", "", "")
    return found


def markdown(rows: Iterable[RowResults], before: Mapping[str, RowResults]) -> str:
    """Return the table for a page, with the results of an earlier run beside it."""
    head = ["what", "figure", "control", "ratio", "spread", "repeats", "bar", "", "the run before"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        earlier = {entry.name: entry for entry in before[row.row].entries} if row.row in before else {}
        lines += [
            [
                *_measured(entry),
                str(entry.repeats),
                entry.bar,
                _verdict(entry).plain.replace("NOT MET", "**not met**"),
                _judged(earlier.get(entry.name)),
            ]
            for entry in row.entries
        ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _measured(entry: Entry) -> tuple[str, ...]:
    """Return the first cells of both tables: name, figure, control, ratio, spread."""
    return (
        entry.what,
        f"{number(entry.figure)} {entry.unit}",
        number(entry.control),
        number(entry.ratio),
        f"{number(entry.lowest)} to {number(entry.highest)}",
    )


def _judged(entry: Entry | None) -> str:
    """Return the value of an entry that is compared with its limit, and whose spread is shown."""
    if entry is None:
        return ""
    return number(entry.ratio if "of control" in entry.bar else entry.figure)


def number(value: float | None) -> str:
    """Return a number with three significant digits and separated thousands."""
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _verdict(entry: Entry) -> Text:
    if entry.busy < BUSY_ENOUGH:
        return Text(f"no verdict: {entry.busy:.0%} busy", "yellow")
    if entry.passed is None:
        return Text("")
    if not entry.passed:
        return Text("NOT MET", "bold red")
    return Text("goal", "bold green") if entry.reaches_goal else Text("pass", "green")
