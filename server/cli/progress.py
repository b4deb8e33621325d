"""Progress bars on standard error, shown only if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def bytes_read(size: int | None) -> Iterator[Callable[[int], None]]:
    """Yield what to call with each number of bytes read, of ``size`` in all (None: unknown)."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    with _bars(DownloadColumn(), TimeElapsedColumn()) as bars:
        task = bars.add_task("reading", total=size)

        def advance(count: int) -> None:
            bars.advance(task, count)
            if size is not None and bars.tasks[task].completed >= size:
                bars.update(task, description="checking and storing")

        yield advance


@contextmanager
def rows_copied() -> Iterator[Callable[[str, int, int], None]]:
    """Yield what to call with a table, the number of its rows that were copied, and of all its rows."""
    if not sys.stderr.isatty():
        yield lambda table, copied, total: None
        return
    with _bars(MofNCompleteColumn(), TimeRemainingColumn()) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(table: str, copied: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = bars.add_task(table, total=total)
            bars.update(tasks[table], completed=copied)

        yield advance


@contextmanager
def counted(what: str, expected: int) -> Iterator[Callable[[int], None]]:
    """Yield what to call with each number of things that were done, of about ``expected`` in all."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    with _bars(MofNCompleteColumn(), TimeElapsedColumn()) as bars:
        task = bars.add_task(what, total=expected)
        yield lambda count: bars.advance(task, count)


def _bars(*columns: ProgressColumn) -> Progress:
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    return Progress(TextColumn("{task.description}"), BarColumn(), *columns, console=console, transient=True)
