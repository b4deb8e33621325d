"""The clock that the server is given; tests give it another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

MAX_AHEAD_MS: Final = 86_400_000
"""How far ahead of our clock a time may lie that another system gives: no two clocks that are kept are a day apart."""


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Every:
    """Says when something is due again. A clock that is set back makes it due at once, not after so much longer."""

    def __init__(self, interval_ms: int, now_ms: Callable[[], int]) -> None:
        self._interval_ms = interval_ms
        self._now_ms = now_ms
        self._last_ms: int | None = None

    def is_due(self) -> bool:
        """Whether the interval has passed since this last said so."""
        now_ms = self._now_ms()
        if self._last_ms is not None and 0 <= now_ms - self._last_ms < self._interval_ms:
            return False
        self._last_ms = now_ms
        return True
