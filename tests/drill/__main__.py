"""Run drills at full size, and print what was lost, repeated, reordered and leaked.

WHICH is a row of the table, or a part of a title: `python -m tests.drill 1 8 "stalled readers"`. Without any, all run,
which takes hours; with `--minutes` each runs in pieces, as many as the time allows. The exit code is 1 when something
was found, or when a control lost nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import pkgutil
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

import tests.drill
from tests.drill.drills import Drill, Report, going_on, watching

# The client library is a distribution of its own: pytest finds it by its settings, a plain run here.
sys.path.append(str(Path(__file__).parents[2] / "client" / "python"))
PRINTED_COLUMNS = 150
"""Where the table goes to a file."""
Outcome = tuple[Drill, int, Report, float]
"""A drill, the size it ran at, what it reported, and how many seconds it took."""


def found() -> list[Drill]:
    """Every module's DRILLS, by row."""
    drills: list[Drill] = []
    for module in pkgutil.iter_modules(tests.drill.__path__):
        if not module.name.startswith(("test_", "__")) and module.name != "conftest":
            drills += getattr(importlib.import_module(f"tests.drill.{module.name}"), "DRILLS", ())
    return sorted(drills, key=lambda drill: (drill.row, drill.title))


def chosen(drills: Sequence[Drill], which: Sequence[str]) -> list[Drill]:
    """Those whose row is given, or a part of whose title. Raises SystemExit for what names no drill."""
    fits = {text: [drill for drill in drills if _is_meant(drill, text)] for text in which}
    for text, named in fits.items():
        if not named:
            raise SystemExit(f"There is no drill {text!r}. `python -m tests.drill --list` prints them.")
    return [drill for drill in drills if not which or any(drill in named for named in fits.values())]


def _is_meant(drill: Drill, text: str) -> bool:
    return str(drill.row) == text if text.isdecimal() else text.lower() in drill.title.lower()


def main(arguments: Sequence[str] | None = None, drills: Sequence[Drill] | None = None) -> int:
    """1 when something was found, or a control lost nothing."""
    known = found() if drills is None else drills
    options = _options(arguments)
    wanted = chosen(known, options.which)
    console = Console(width=None if sys.stdout.isatty() else PRINTED_COLUMNS)
    if options.list:
        console.print(_list(wanted))
        return 0
    outcomes: list[Outcome] = []
    try:
        with _progress() as progress:
            for drill in wanted:
                size = options.size or (drill.short if options.short else drill.full)
                outcomes.append(_run(drill, size, progress, options.minutes))
                console.print(f"{drill.row:>2}  {drill.title}: {outcomes[-1][2]}", markup=False, highlight=False)
    except KeyboardInterrupt:
        console.print("Interrupted: what follows is what had ended.")
    console.print(_table(outcomes))
    ended = len(outcomes) == len(wanted)
    return 0 if ended and all(report.passed or report.not_run for _, _, report, _ in outcomes) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__, formatter_class=how)
    parser.add_argument("which", nargs="*", metavar="WHICH", help="only these: a row, or a part of a title")
    parser.add_argument("--size", type=int, help="instead of each drill's full size")
    parser.add_argument("--short", action="store_true", help="the sizes that the tests use")
    parser.add_argument(
        "--minutes", type=float, help="run each drill in pieces of a hundredth of the size, and start none after this"
    )
    parser.add_argument("--list", action="store_true", help="print the drills and their sizes, and run none")
    return parser.parse_args(arguments)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # No refresh by itself: a thread that redraws would take time from what is drilled.
    return Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)


def _run(drill: Drill, size: int, progress: Progress, minutes: float | None = None) -> Outcome:
    task = progress.add_task(f"{drill.row} {drill.title}", total=size)
    progress.refresh()
    since = time.monotonic()
    with watching(lambda count: _moved(progress, task, count)):
        if minutes is None:
            done, report = size, _report(drill, size)
        else:
            done, report = _in_pieces(drill, size, since + 60 * minutes)
    progress.remove_task(task)
    return drill, done, report, time.monotonic() - since


def _report(drill: Drill, size: int) -> Report:
    try:
        return asyncio.run(drill.run(size))
    except Exception as error:  # noqa: BLE001 - a drill that breaks is a drill that failed; the others still run
        traceback.print_exception(error)
        return Report({f"broken by {type(error).__name__}": 1})


def _in_pieces(drill: Drill, size: int, until: float) -> tuple[int, Report]:
    """Run the drill again and again, each time at a hundredth of the size, until all of it is done or time is up.

    Returns how much was done, and the sum of the reports. A piece that found something is the last one.
    """
    piece = max(size // 100, drill.short)
    total, done = _report(drill, piece), piece
    while time.monotonic() < until and done < size and not total.not_run and not any(total.counts.values()):
        with going_on(done):
            total, done = total.with_next(_report(drill, piece)), done + piece
    return done, total


def _moved(progress: Progress, task: TaskID, count: int) -> None:
    progress.update(task, advance=count, refresh=progress.console.is_terminal)


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="Nothing lost, nothing let in", title_justify="left")
    for title in ("row", "drill", "size", "found", "the control lost", "seconds", ""):
        table.add_column(title, justify="right" if title in ("row", "the control lost", "seconds") else "left")
    for drill, size, report, seconds in outcomes:
        found = "\n".join(f"{value:,} {name}" for name, value in report.counts.items())
        verdict = f"[{'green' if report.passed else 'yellow' if report.not_run else 'bold red'}]{report.verdict}"
        table.add_row(
            str(drill.row), drill.title, f"{size:,} {drill.unit}", report.not_run or found,
            "" if report.not_run else f"{report.control:,}", f"{seconds:,.1f}", verdict,
        )  # fmt: skip
    return table


def _list(drills: Sequence[Drill]) -> Table:
    table = Table("row", "drill", "full size", "in the tests")
    for drill in drills:
        table.add_row(str(drill.row), drill.title, f"{drill.full:,} {drill.unit}", f"{drill.short:,}")
    return table


if __name__ == "__main__":
    sys.exit(main())
