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
    """Something with deadlines. It is asked when one comes and says when the next one is."""

    def on_timer(self, now: float) -> float | None:
        """``now`` is the loop's time in seconds. Returns the next deadline, or None to be forgotten."""
        ...


class Timers:
    """Deadlines of any number of objects for the price of one loop timer.

    Deadlines are kept in ticks, so that those of thousands of sockets come due together and not one by one. Nobody is
    asked early, and at most a tick late. An object that is done is not searched for: it says so when it is asked.
    """

    def __init__(self, tick_seconds: float = TICK_SECONDS) -> None:
        self._tick = tick_seconds
        self._due: dict[int, list[Timed]] = {}
        self._ticks: list[int] = []
        self._armed: int | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._closed = False

    def add(self, when: float, timed: Timed) -> None:
        """Ask ``timed`` at ``when`` (the loop's time). After :meth:`close` nobody is asked any more."""
        if not self._closed:
            self._put(when, timed)
            self._arm()

    @staticmethod
    def now() -> float:
        """The loop's time in seconds, which all deadlines are in."""
        return asyncio.get_running_loop().time()

    def close(self) -> None:
        """Ask nobody any more."""
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
    except Exception:  # one that fails must not stop everybody else's clock
        _logger.exception("a timer failed")
        return None
