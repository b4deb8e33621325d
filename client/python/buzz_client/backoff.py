"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable

Random = Callable[[], float]


class Backoff:
    """Exponential backoff with full jitter: a random wait from zero to a limit that doubles with each failure.

    Full jitter best spreads many clients that were disconnected at the same time, with the least work for the server.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    __slots__ = ("_base_seconds", "_cap_seconds", "_failures", "_random")

    def __init__(self, base_seconds: float = 0.5, cap_seconds: float = 30.0, random: Random = random.random) -> None:
        self._base_seconds = base_seconds
        self._cap_seconds = cap_seconds
        self._random = random
        self._failures = 0

    def next_seconds(self) -> float:
        """Return the wait before the next attempt; each call counts as one more failure."""
        # 2**16 is above any sensible limit; the bound stops the power from growing during days of outage.
        limit = min(self._cap_seconds, self._base_seconds * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return self._random() * limit

    def at_least(self, seconds: float) -> float:
        """Return a wait that the server asked for, plus jitter, so that clients do not all return at once."""
        return seconds + self.next_seconds()

    def reset(self) -> None:
        """Reset after a success: the next failure starts from the smallest wait."""
        self._failures = 0
