"""A wall clock that tests turn."""

from __future__ import annotations

from server.runtime.clock import wall_clock_ms


class Clock:
    """The real time, and what it was turned by. Given to a node in place of its wall clock."""

    def __init__(self) -> None:
        self._turned_ms = 0

    def __call__(self) -> int:
        return wall_clock_ms() + self._turned_ms

    def turn(self, seconds: float) -> None:
        """Forward, or back when negative."""
        self._turned_ms += round(seconds * 1000)
