"""`report.html`: the table and the plots in one file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.figures import Curve
from bench.plots import plot
from bench.results import Entry, Results, RowResults
from bench.table import number

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .6rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; white-space: nowrap }
td small { color: #888; display: block }
.met { color: #2c7a3f } .missed { color: #c0392b; font-weight: 600 }
figure { display: inline-block; width: 35rem; max-width: 100%; margin: 1rem 1rem 0 0 }
svg { width: 100%; background: #fff; border: 1px solid #8884; border-radius: 6px }
svg text { font: 11px system-ui, sans-serif; fill: #333 }
svg .title { font-size: 14px; font-weight: 600 } svg .x { text-anchor: middle } svg .y { text-anchor: end }
svg .grid { stroke: #ddd }
"""


def page(results: Results) -> str:
    rows = list(results.rows.values())
    lines = "\n".join(line for row in rows for line in _lines(row))
    figures = "\n".join(f"<figure>{plot(curves)}</figure>" for curves in _by_plot(rows))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Buzz: speed and memory</title><style>{_STYLE}</style>
<h1>Speed and memory</h1>
<p>Every figure is the median of its repeats. A ratio is the figure over the control that was taken next to it, on the
same core. The spread is the lowest and the highest of what the bar judges.</p>
<table><thead><tr><th>what<th class="n">figure<th class="n">control<th class="n">ratio<th class="n">spread<th>bar<th>
<tbody>
{lines}
</table>
<h2>Plots</h2>
{figures}
<h2>Taken on</h2>
{_machines(rows)}
</html>
"""


def _lines(row: RowResults) -> list[str]:
    if row.fault:
        return [f'<tr><td>{escape(row.row)}<td colspan="6" class="missed">not measured: {escape(row.fault)}']
    return [_line(entry, row.quick) for entry in row.entries]


def _line(entry: Entry, quick: bool) -> str:
    note = f"<small>{escape(entry.note)}</small>" if entry.note else ""
    control_is = f"<small>{escape(entry.control_is)}</small>" if entry.control is not None else ""
    verdict = {True: ("met", "pass"), False: ("missed", "not met"), None: ("", "")}[entry.passed]
    word = "quick" if quick else "goal" if entry.reaches_goal else verdict[1]
    return (
        f'<tr><td>{escape(entry.what)}{note}<td class="n">{number(entry.figure)} {escape(entry.unit)}'
        f'<td class="n">{number(entry.control)}{control_is}<td class="n">{number(entry.ratio)}'
        f'<td class="n">{number(entry.lowest)} to {number(entry.highest)}<td>{escape(entry.bar)}'
        f'<td class="{verdict[0]}">{word}'
    )


def _by_plot(rows: Sequence[RowResults]) -> list[list[Curve]]:
    plots: dict[str, list[Curve]] = {}
    for row in rows:
        for curve in row.curves:
            plots.setdefault(curve.plot, []).append(curve)
    return list(plots.values())


def _machines(rows: Sequence[RowResults]) -> str:
    """Return which rows were measured when and where; rows with the same data are grouped."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for row in rows:
        quick = " (quick: the figures mean nothing)" if row.quick else ""
        taken = {name: value for name, value in row.machine.items() if name != "fdatasync"}
        groups.setdefault(tuple(taken.items()), []).append(f"{row.row} at {row.measured_at}{quick}")
    return "\n".join(
        f"<p>{escape('; '.join(f'{name}: {value}' for name, value in machine))}<br>{escape(', '.join(names))}</p>"
        for machine, names in groups.items()
    )
