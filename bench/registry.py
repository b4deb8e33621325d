"""The rows: each module of `bench/rows` registers what it measures."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.context import Bench
from bench.figures import Line, Sample

Measure = Callable[[Bench], Awaitable[Sample]]


@dataclass(frozen=True, slots=True)
class Row:
    """A group of lines of one measurement. `measure` runs one repeat: the control and what is compared with it."""

    name: str
    lines: tuple[Line, ...]
    measure: Measure


_rows: dict[str, Row] = {}


def row(name: str, *lines: Line) -> Callable[[Measure], Measure]:
    """Register a row under the name that `make bench ROW=…` accepts."""

    def register(measure: Measure) -> Measure:
        if name in _rows:
            raise ValueError(f"two rows are called {name!r}")
        _rows[name] = Row(name, lines, measure)
        return measure

    return register


def all_rows() -> dict[str, Row]:
    """Return every row by its name, in the order of the table (`bench.rows.ORDER`)."""
    package = importlib.import_module("bench.rows")
    for found in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"bench.rows.{found.name}")
    order: tuple[str, ...] = package.ORDER
    return {name: _rows[name] for name in sorted(_rows, key=lambda n: order.index(n) if n in order else len(order))}
