"""What a drill is, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Report:
    """What was seen. ``counts`` that must all be 0 for a pass; ``control`` what the control lost, which must not be 0.

    ``seen`` is whatever else is worth printing: how much was done, how long things took.
    """

    counts: dict[str, int]
    control: int | None = None
    seen: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not any(self.counts.values()) and self.control != 0

    def __str__(self) -> str:
        control = "" if self.control is None else f"; the control lost {self.control:,}"
        seen = "".join(f", {name} {value:,.10g}" for name, value in self.seen.items())
        counts = ", ".join(f"{name} {value:,}" for name, value in self.counts.items())
        return f"{'pass' if self.passed else 'FAIL'}: {counts}{control}{seen}"


@dataclass(frozen=True)
class Drill:
    """One row of the table of drills. ``run(size)``: ``short`` in the tests, ``full`` from the command line."""

    row: int
    title: str
    run: Callable[[int], Coroutine[Any, Any, Report]]
    short: int
    full: int
