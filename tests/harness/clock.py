"""A wall clock that tests set."""

from __future__ import annotations

from server.runtime.clock import wall_clock_ms


class Clock:
    """The real time plus an offset. It replaces a node's wall clock."""

    def __init__(self) -> None:
        self._turned_ms = 0

    def __call__(self) -> int:
        return wall_clock_ms() + self._turned_ms

    def turn(self, seconds: float) -> None:
        """Move the clock forward, or back if negative."""
        self._turned_ms += round(seconds * 1000)
