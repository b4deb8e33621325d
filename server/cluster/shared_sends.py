"""The rate limit of sends, across nodes.

Each node takes from its own bucket at once and notifies the others after every fifth send of a person; they then take
as many from theirs. So a person who uses n nodes gets at most the rate, plus 4 (n - 1) sends that were not announced
yet, plus what the other nodes accepted before the notice arrived. While the bus is down each node counts alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from server.bus.contract import Bus
from server.bus.notices import Spent
from server.runtime.limits import Buckets

TELL_EVERY = 5
_REMEMBERED = 50_000
"""People whose untold sends are counted; when there are more, the counting starts anew."""


class SharedSends(Buckets[int]):
    """Buckets by person id whose tokens are also spent on other nodes."""

    def __init__(
        self, bus: Bus, rate_per_second: float, burst: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(rate_per_second, burst, now=now)
        self._bus = bus
        self._untold: dict[int, int] = {}

    def take(self, key: int, tokens: float = 1.0) -> float:
        """Take tokens as ``Buckets.take`` does; after every fifth the other nodes are notified."""
        wait = super().take(key, tokens)
        if not wait:
            untold = self._untold.get(key, 0) + 1
            if untold >= TELL_EVERY:
                self._bus.publish(Spent(key, untold))
                untold = 0
            elif len(self._untold) >= _REMEMBERED:
                self._untold.clear()
            self._untold[key] = untold
        return wait

    def heard(self, notice: Spent) -> None:
        """Take the tokens of sends that another node has accepted."""
        self.spend(notice.person, notice.sends)
