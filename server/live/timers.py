"""One timer for all sessions: a heap of deadlines and a single handle in the event loop."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from typing import Protocol

import structlog

_log = structlog.get_logger("timers")


class Timed(Protocol):
    """Something with deadlines. It is asked when one comes and says when the next one is."""

    def on_timer(self, now: float) -> float | None:
        """``now`` is the loop's time in seconds. Returns the next deadline, or None to be forgotten."""
        ...


class Timers:
    """Deadlines of any number of objects for the price of one loop timer.

    An object that is done is not searched for: it says so when its next deadline comes.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed]] = []
        self._order = count()
        self._handle: asyncio.TimerHandle | None = None
        self._closed = False

    def add(self, when: float, timed: Timed) -> None:
        """Ask ``timed`` at ``when`` (the loop's time). After :meth:`close` nobody is asked any more."""
        if self._closed:
            return
        heapq.heappush(self._heap, (when, next(self._order), timed))
        if self._heap[0][2] is timed:
            self._arm()

    @staticmethod
    def now() -> float:
        """The loop's time in seconds, which all deadlines are in."""
        return asyncio.get_running_loop().time()

    def close(self) -> None:
        """Ask nobody any more."""
        self._closed = True
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()

    def __len__(self) -> int:
        return len(self._heap)

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = asyncio.get_running_loop().call_at(self._heap[0][0], self._fire) if self._heap else None

    def _fire(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            _, _, timed = heapq.heappop(self._heap)
            following = _asked(timed, now)
            if following is not None:
                heapq.heappush(self._heap, (max(following, now + _LEAST_SECONDS), next(self._order), timed))
        self._arm()


def _asked(timed: Timed, now: float) -> float | None:
    try:
        return timed.on_timer(now)
    except Exception:  # noqa: BLE001 - one that fails must not stop everybody else's clock
        _log.exception("a timer failed")
        return None


_LEAST_SECONDS = 0.001
"""A deadline in the past must not keep the loop from anything else."""
