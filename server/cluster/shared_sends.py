"""The rate limit of sends, held across nodes.

Each node takes from its own bucket at once and tells the others of every fifth send of a person, who then take as many
from theirs. So a person who spreads over n nodes gets at most the rate, 4 (n - 1) sends that nobody was told of yet,
and what the others had let through while the notice was under way. While the bus is down each node counts alone.
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
        """As ``Buckets.take``; every fifth that is given is told to the other nodes."""
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
        """Another node has let these through."""
        self.spend(notice.person, notice.sends)
