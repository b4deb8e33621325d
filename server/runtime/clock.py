"""The server's clock, which tests replace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

MAX_AHEAD_MS: Final = 86_400_000
"""How far ahead of our clock a time may lie that another system gives: no two clocks that are kept are a day apart."""


def wall_clock_ms() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Every:
    """Decides when something is due again. If the clock was set back, it is due at once, not much later."""

    def __init__(self, interval_ms: int, now_ms: Callable[[], int]) -> None:
        self._interval_ms = interval_ms
        self._now_ms = now_ms
        self._last_ms: int | None = None

    def is_due(self) -> bool:
        """Return whether the interval has passed since this last returned True."""
        now_ms = self._now_ms()
        if self._last_ms is not None and 0 <= now_ms - self._last_ms < self._interval_ms:
            return False
        self._last_ms = now_ms
        return True
