"""One timer for all sessions: deadlines in ticks, and a single handle in the event loop."""

from __future__ import annotations

import asyncio
import heapq
from math import ceil
from typing import Protocol

import structlog

TICK_SECONDS = 0.05
"""Life signs and tokens are a matter of seconds; nothing here needs a finer clock."""
_logger = structlog.get_logger("timers")


class Timed(Protocol):
    """An object with deadlines. It is called at each one, and returns the next one."""

    def on_timer(self, now: float) -> float | None:
        """``now`` is the loop's time in seconds. Returns the next deadline, or None for no more."""
        ...


class Timers:
    """The deadlines of any number of objects, with a single timer of the loop.

    Deadlines are grouped in ticks, so that those of thousands of sockets are due together and not one by one. An object
    is never called early, and at most a tick late. A finished object is not searched for: it returns None when it is
    called.
    """

    def __init__(self, tick_seconds: float = TICK_SECONDS) -> None:
        self._tick = tick_seconds
        self._due: dict[int, list[Timed]] = {}
        self._ticks: list[int] = []
        self._armed: int | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._closed = False

    def add(self, when: float, timed: Timed) -> None:
        """Call ``timed`` at ``when`` (the loop's time). After :meth:`close` nothing is called any more."""
        if not self._closed:
            self._put(when, timed)
            self._arm()

    @staticmethod
    def now() -> float:
        """Return the loop's time in seconds, which all deadlines use."""
        return asyncio.get_running_loop().time()

    def close(self) -> None:
        """Call no object any more."""
        self._closed = True
        self._due.clear()
        self._ticks.clear()
        if self._handle is not None:
            self._handle.cancel()

    def __len__(self) -> int:
        return sum(map(len, self._due.values()))

    def _put(self, when: float, timed: Timed) -> None:
        tick = ceil(when / self._tick)
        due = self._due.get(tick)
        if due is None:
            due = self._due[tick] = []
            heapq.heappush(self._ticks, tick)
        due.append(timed)

    def _arm(self) -> None:
        if not self._ticks or (self._armed is not None and self._armed <= self._ticks[0]):
            return
        if self._handle is not None:
            self._handle.cancel()
        self._armed = self._ticks[0]
        self._handle = asyncio.get_running_loop().call_at(self._armed * self._tick, self._fire)

    def _fire(self) -> None:
        self._armed = self._handle = None
        now = self.now()
        while self._ticks and self._ticks[0] * self._tick <= now:
            for timed in self._due.pop(heapq.heappop(self._ticks)):
                following = _asked(timed, now)
                if following is not None and not self._closed:
                    self._put(max(following, now + self._tick), timed)
        self._arm()


def _asked(timed: Timed, now: float) -> float | None:
    try:
        return timed.on_timer(now)
    except Exception:  # an error in one must not stop the timers of all others
        _logger.exception("a timer failed")
        return None
