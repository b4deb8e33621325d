"""The bench's figures and how they are judged: pure values, no clock, no I/O."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that must be reached, and a goal.

    `of` says what is compared: the figure itself, or its ratio to the control of the same run.
    """

    bar: float
    goal: float
    of: Literal["figure", "ratio"]
    better: Literal["more", "less"]

    def is_met_by(self, value: float) -> bool:
        return value >= self.bar if self.better == "more" else value <= self.bar

    def reaches_goal(self, value: float) -> bool:
        return value >= self.goal if self.better == "more" else value <= self.goal


def ratio_at_least(bar: float, *, goal: float) -> Limit:
    return Limit(bar, goal, of="ratio", better="more")


def figure_at_most(bar: float, *, goal: float) -> Limit:
    return Limit(bar, goal, of="figure", better="less")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. Without a limit it is shown but not judged."""

    name: str
    title: str
    unit: str
    limit: Limit | None = None
    control: str = ""


BUSY_ENOUGH = 0.8
"""How busy a server must be (0 to 1) for the rate of a closed loop to say what it can do."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One repeat of one line: the figure, and the control measured with it.

    `busy`: of a closed loop, how busy the less busy of the two servers was (0 to 1).
    """

    figure: float
    control: float | None = None
    busy: float = 1.0


@dataclass(frozen=True, slots=True)
class Curve:
    """A series for a plot, for instance memory against sessions."""

    plot: str
    label: str
    x_title: str
    y_title: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """The results of one repeat of a row: a reading for each of its lines, curves, and notes for the reader."""

    readings: Mapping[str, Reading]
    curves: tuple[Curve, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """A line after all repeats: medians, and the lowest and highest judged value."""

    line: Line
    figure: float
    control: float | None
    ratio: float | None
    lowest: float
    highest: float
    repeats: int
    busy: float = 1.0

    @property
    def is_saturated(self) -> bool:
        """Whether the servers were busy. If not, something else limited the rates: they get no verdict."""
        return self.busy >= BUSY_ENOUGH

    @property
    def judged(self) -> float:
        """The value that is compared with the limit (the figure if there is no limit)."""
        if self.line.limit is not None and self.line.limit.of == "ratio" and self.ratio is not None:
            return self.ratio
        return self.figure

    @property
    def passed(self) -> bool | None:
        limit = self.line.limit
        return limit.is_met_by(self.judged) if limit is not None and self.is_saturated else None

    @property
    def reaches_goal(self) -> bool | None:
        limit = self.line.limit
        return limit.reaches_goal(self.judged) if limit is not None and self.is_saturated else None


def summarise(line: Line, readings: Sequence[Reading]) -> Result:
    """Return the medians of at least one reading.

    The ratio is the median of the ratios of each figure to its own control, so that a machine that slows down during
    the run affects both sides of a ratio alike.
    """
    controls = [reading.control for reading in readings if reading.control is not None]
    ratios = [reading.figure / reading.control for reading in readings if reading.control]
    judged = ratios if line.limit is not None and line.limit.of == "ratio" else [r.figure for r in readings]
    return Result(
        line=line,
        figure=statistics.median(reading.figure for reading in readings),
        control=statistics.median(controls) if controls else None,
        ratio=statistics.median(ratios) if ratios else None,
        lowest=min(judged, default=float("nan")),
        highest=max(judged, default=float("nan")),
        repeats=len(readings),
        busy=min(reading.busy for reading in readings),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: the smallest value that `share` (0 to 1) of all values do not exceed."""
    if not values:
        return float("nan")
    rank = math.ceil(round(share * len(values), 6))  # rounded: 0.07 * 100 is a little more than 7
    return sorted(values)[max(rank, 1) - 1]
