"""What commands print: a table or one line for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_PIPE_COLUMNS = 1_000


def show(value: Mapping[str, Any], as_json: bool, title: str = "") -> None:
    """One object: JSON, or its fields one below the other."""
    if as_json:
        print_json(value)
        return
    if title:
        print(title)
    width = max((len(name) for name in value), default=0)
    for name, inner in value.items():
        print(f"  {name:<{width}}  {_text(inner)}")


def show_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, columns: Sequence[str], empty: str) -> None:
    """Rows: a JSON array, or a table of ``columns``; ``empty`` is said where there are none."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        print(empty)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    # Into a file or a pipe a row is one line, however long.
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    Console(width=width, highlight=False, markup=False).print(table)


def print_json(value: object) -> None:
    """One JSON text, indented."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
