"""`results.json`: the bench's results by row. A run of one row keeps the results of the others."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.figures import Curve, Result, Sample, summarise
from bench.registry import Row


class Entry(msgspec.Struct, frozen=True):
    """One line of the table. `ratio` is figure to control; `lowest` and `highest` are those of the judged value."""

    name: str
    what: str
    unit: str
    figure: float | None
    control: float | None
    control_is: str
    ratio: float | None
    lowest: float | None
    highest: float | None
    repeats: int
    bar: str
    passed: bool | None
    reaches_goal: bool | None
    note: str = ""
    busy: float = 1.0


class RowResults(msgspec.Struct, frozen=True):
    """One row: its lines and plots, or why it could not be measured."""

    row: str
    measured_at: str
    machine: dict[str, str]
    entries: list[Entry] = []
    curves: list[Curve] = []
    fault: str = ""
    quick: bool = False


class Results(msgspec.Struct, frozen=True):
    rows: dict[str, RowResults]


def read(path: Path) -> Results:
    """Return the results of an earlier run; nothing if there was none."""
    if not path.exists():
        return Results({})
    return msgspec.json.decode(path.read_bytes(), type=Results)


def write(path: Path, results: Results) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def in_order(results: Results, names: Iterable[str]) -> Results:
    """Return the existing rows, in the order of `names`."""
    return Results({name: results.rows[name] for name in names if name in results.rows})


def of_row(row: Row, samples: Sequence[Sample], fault: str, about: Mapping[str, str], *, quick: bool) -> RowResults:
    """Summarise the samples of a row; with an error instead of figures if it could not be measured."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if fault:
        return RowResults(row.name, stamp, dict(about), fault=fault, quick=quick)
    notes = samples[-1].notes
    entries = [
        entry(summarise(line, [sample.readings[line.name] for sample in samples]), notes.get(line.name, ""))
        for line in row.lines
    ]
    return RowResults(row.name, stamp, dict(about), entries, merge_curves(samples), quick=quick)


def entry(result: Result, note: str) -> Entry:
    line = result.line
    return Entry(
        name=line.name,
        what=line.title,
        unit=line.unit,
        figure=_finite(result.figure),
        control=_finite(result.control),
        control_is=line.control,
        ratio=_finite(result.ratio),
        lowest=_finite(result.lowest),
        highest=_finite(result.highest),
        repeats=result.repeats,
        bar=describe_bar(result),
        passed=result.passed,
        reaches_goal=result.reaches_goal,
        note=note if result.is_saturated else f"no verdict: a server was only {result.busy:.0%} busy. {note}",
        busy=result.busy,
    )


def describe_bar(result: Result) -> str:
    """Return the limit as text, e.g. `≥ 0.20 of control (goal 0.30)`."""
    limit = result.line.limit
    if limit is None:
        return ""
    sign = "≥" if limit.better == "more" else "≤"
    unit = " of control" if limit.of == "ratio" else f" {result.line.unit}"
    return f"{sign} {limit.bar:g}{unit} (goal {limit.goal:g})"


def merge_curves(samples: Sequence[Sample]) -> list[Curve]:
    """Merge the curves of all repeats: the median at every point."""
    together: dict[tuple[str, str], list[Curve]] = {}
    for sample in samples:
        for curve in sample.curves:
            together.setdefault((curve.plot, curve.label), []).append(curve)
    return [_median_curve(curves) for curves in together.values()]


def _median_curve(curves: Sequence[Curve]) -> Curve:
    first = curves[0]
    points = tuple(
        (x, statistics.median(curve.points[number][1] for curve in curves))
        for number, (x, _) in enumerate(first.points)
    )
    return Curve(first.plot, first.label, first.x_title, first.y_title, points)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
