"""What a drill is, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Report:
    """What was seen. ``counts`` that must all be 0 for a pass; ``control`` what the control lost, which must not be 0.

    ``seen`` is whatever else is worth printing: how much was done, how long things took. ``not_run`` says why nothing
    was tried: such a report passes nothing and fails nothing.
    """

    counts: dict[str, int]
    control: int = 0
    seen: dict[str, float] = field(default_factory=dict)
    not_run: str = ""

    @property
    def passed(self) -> bool:
        return not any(self.counts.values()) and self.control != 0

    def with_next(self, other: Report) -> Report:
        """Return the sum of this report and another run's of the same drill, with the largest of what was seen."""
        return Report(
            {name: self.counts.get(name, 0) + other.counts.get(name, 0) for name in {**self.counts, **other.counts}},
            self.control + other.control,
            {name: max(self.seen.get(name, 0), other.seen.get(name, 0)) for name in {**self.seen, **other.seen}},
            self.not_run or other.not_run,
        )

    @property
    def verdict(self) -> str:
        return "not run" if self.not_run else "pass" if self.passed else "FAIL"

    def __str__(self) -> str:
        found = ", ".join(f"{name} {value:,}" for name, value in self.counts.items())
        seen = "".join(f", {name} {value:,.10g}" for name, value in self.seen.items())
        return self.not_run or f"{self.verdict}: {found}; the control lost {self.control:,}{seen}"


@dataclass(frozen=True)
class Drill:
    """One row of the table of drills. ``run(size)``: ``short`` in the tests, ``full`` from the command line.

    ``unit`` says what the size counts. On its way ``run`` says :func:`advance`.
    """

    row: int
    title: str
    run: Callable[[int], Coroutine[Any, Any, Report]]
    short: int
    full: int
    unit: str = "rounds"


def _nobody_watches(_: int) -> None:
    return


_told: ContextVar[Callable[[int], None]] = ContextVar("told", default=_nobody_watches)


def advance(count: int = 1) -> None:
    """So much more of the size is done. Whoever watches (a progress bar) hears of it."""
    _told.get()(count)


_done: ContextVar[int] = ContextVar("done", default=0)


def done_before() -> int:
    """Return how much of the whole size earlier pieces of this run have done: 0 in a run that is not in pieces."""
    return _done.get()


@contextmanager
def going_on(done: int) -> Iterator[None]:
    """Drills that begin in this block are the next piece of a run of which so much is done."""
    token = _done.set(done)
    try:
        yield
    finally:
        _done.reset(token)


@contextmanager
def watching(told: Callable[[int], None]) -> Iterator[None]:
    """``told`` hears of each step of the drills that begin in this block."""
    token = _told.set(told)
    try:
        yield
    finally:
        _told.reset(token)
