"""What commands print: a table or lines for people, JSON for programs. Nothing else writes to the terminal.

What a command shows was often written by somebody outside: a name, a device's id, a receiver's answer. So everything
that is printed is made plain here (``server/config/plain_text.py``), and rich takes none of it for its markup.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from server.config.plain_text import json_text, one_line, several_lines

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_COLUMNS: Final = 1_000


def say(line: str) -> None:
    """One line on standard output."""
    print(one_line(line), flush=True)


def say_lines(text: str) -> None:
    """Text of our own with several lines: what others wrote could forge one."""
    print(several_lines(text), flush=True)


def tell(line: str) -> None:
    """One line on standard error: what is said beside a command's result."""
    print(one_line(line), file=sys.stderr, flush=True)


def tell_lines(text: str) -> None:
    """Text with several lines on standard error: a traceback."""
    print(several_lines(text), file=sys.stderr, flush=True)


def complain(line: str) -> None:
    """Why a command failed, on standard error."""
    tell(f"error: {line}")


def show(value: Mapping[str, Any], as_json: bool, title: str = "") -> None:
    """One object: JSON, or its fields one below the other."""
    if as_json:
        print_json(value)
        return
    if title:
        say(title)
    width = max((len(name) for name in value), default=0)
    for name, inner in value.items():
        say(f"  {name:<{width}}  {_text(inner)}")


def show_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, columns: Sequence[str], empty: str) -> None:
    """Rows: a JSON array, or a table of ``columns``; ``empty`` is said where there are none."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        say(empty)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(_text(row.get(column)))) for column in columns))
    # Into a file or a pipe a row is one line, however long.
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    Console(width=width, highlight=False, markup=False, emoji=False).print(table)


def print_json(value: object) -> None:
    """One JSON text, indented."""
    print(json_text(value, indent=2), flush=True)


def print_json_line(value: object) -> None:
    """One JSON text on one line, for programs that read line by line."""
    print(json_text(value), flush=True)


def progress_console() -> Console:
    """Where progress is drawn: standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
