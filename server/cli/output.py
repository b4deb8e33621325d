"""The output of commands: a table or lines for people, JSON for programs. Nothing else writes to the terminal.

A command often prints text from outside: a name, a device's id, a receiver's answer. So everything that is printed is
escaped here (``server/config/plain_text.py``), and none of it is read as rich's markup.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.config.plain_text import json_text, one_line, several_lines

_PIPE_COLUMNS: Final = 1_000


def say(line: str) -> None:
    """Print one line on standard output."""
    print(one_line(line), flush=True)


def say_lines(text: str) -> None:
    """Print several lines of our own text. Text from others could forge a line, so it must not be in it."""
    print(several_lines(text), flush=True)


def tell(line: str) -> None:
    """Print one line on standard error, apart from the command's result."""
    print(one_line(line), file=sys.stderr, flush=True)


def tell_lines(text: str) -> None:
    """Print several lines on standard error, for a traceback."""
    print(several_lines(text), file=sys.stderr, flush=True)


def complain(line: str) -> None:
    """Print why a command failed, on standard error."""
    tell(f"error: {line}")


def show(value: Mapping[str, Any], as_json: bool, title: str = "") -> None:
    """Print one object: as JSON, or with one field on each line."""
    if as_json:
        print_json(value)
        return
    if title:
        say(title)
    width = max((len(name) for name in value), default=0)
    for name, inner in value.items():
        say(f"  {name:<{width}}  {_text(inner)}")


def show_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, columns: Sequence[str], empty: str) -> None:
    """Print rows: as a JSON array, or a table of ``columns``; if there are none, prints ``empty`` on standard error."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        tell(empty)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(_text(row.get(column)))) for column in columns))
    # In a file or a pipe a row is one line of any length.
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    Console(width=width, highlight=False, markup=False, emoji=False).print(table)


def print_json(value: object) -> None:
    """Print one JSON text, indented."""
    print(json_text(value, indent=2), flush=True)


def print_json_line(value: object) -> None:
    """Print one JSON text on one line, for programs that read line by line."""
    print(json_text(value), flush=True)


def one_line_of_json(value: object) -> str:
    """Return a value as JSON on one line; None as a dash."""
    return "–" if value is None else json_text(value)


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
