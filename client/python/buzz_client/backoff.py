"""How long to wait before the next try."""

from __future__ import annotations

import random
from collections.abc import Callable

Random = Callable[[], float]


class Backoff:
    """Exponential backoff with full jitter: anything from nothing up to a limit that doubles with each failure.

    Full jitter spreads a crowd of clients that were cut at the same moment best, with the least work for the server.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    __slots__ = ("_base_seconds", "_cap_seconds", "_failures", "_random")

    def __init__(self, base_seconds: float = 0.5, cap_seconds: float = 30.0, random: Random = random.random) -> None:
        self._base_seconds = base_seconds
        self._cap_seconds = cap_seconds
        self._random = random
        self._failures = 0

    def next_seconds(self) -> float:
        """The wait before the next try; each call counts as one more failure."""
        # 2**16 is past any sensible cap; the bound keeps the power from growing for days of outage.
        limit = min(self._cap_seconds, self._base_seconds * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return self._random() * limit

    def at_least(self, seconds: float) -> float:
        """A wait the server asked for, plus jitter, so that those who were told the same do not come back together."""
        return seconds + self.next_seconds()

    def reset(self) -> None:
        """Things are well again: the next failure starts from the smallest wait."""
        self._failures = 0
