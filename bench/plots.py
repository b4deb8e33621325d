"""Line plots as SVG, for a page without external files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bench.figures import Curve

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 34, 44
COLOURS = ("#0b6e99", "#c8553d", "#588157", "#7b2d8e")


def plot(curves: Sequence[Curve]) -> str:
    """Return one plot of curves that share their axes, both from zero."""
    first = curves[0]
    x_top = _round_up(max(x for curve in curves for x, _ in curve.points))
    y_top = _round_up(max(y for curve in curves for _, y in curve.points))
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(first.plot)}">',
        f'<text class="title" x="{LEFT}" y="18">{escape(first.plot)}</text>',
        *_axes(first, x_top, y_top),
    ]
    for number, curve in enumerate(curves):
        parts += _line(curve, COLOURS[number % len(COLOURS)], x_top, y_top)
        parts.append(_legend(curve.label, COLOURS[number % len(COLOURS)], number))
    return "\n".join([*parts, "</svg>"])


def _axes(curve: Curve, x_top: float, y_top: float) -> list[str]:
    parts = []
    for step in range(6):
        x, y = _x(x_top * step / 5, x_top), _y(y_top * step / 5, y_top)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text class="y" x="{LEFT - 6}" y="{y + 4:.1f}">{_label(y_top * step / 5)}</text>')
        parts.append(f'<text class="x" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}">{_label(x_top * step / 5)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text class="x" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}">{escape(curve.x_title)}</text>')
    parts.append(f'<text class="x" transform="translate(12 {middle}) rotate(-90)">{escape(curve.y_title)}</text>')
    return parts


def _line(curve: Curve, colour: str, x_top: float, y_top: float) -> list[str]:
    places = [(_x(x, x_top), _y(y, y_top), x, y) for x, y in curve.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in places)
    dots = [
        f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}"><title>{escape(curve.label)}: '
        f"{_label(x)} {escape(curve.x_title)}, {y:.4g} {escape(curve.y_title)}</title></circle>"
        for px, py, x, y in places
    ]
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots]


def _legend(label: str, colour: str, number: int) -> str:
    y = TOP + 8 + 16 * number
    return (
        f'<rect x="{LEFT + 10}" y="{y - 8}" width="10" height="10" fill="{colour}"/>'
        f'<text class="legend" x="{LEFT + 26}" y="{y + 1}">{escape(label)}</text>'
    )


def _x(value: float, top: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * value / top


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _round_up(value: float) -> float:
    """Return the next of 1, 1.5, 2, 3, 5, 7.5, 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 1.5, 2, 3, 5, 7.5, 10) if power * step >= value * 0.999)


def _label(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"
