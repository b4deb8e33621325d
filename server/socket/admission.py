"""Admission: limits the upgrades in one iteration of the event loop, first come, first served.

When ten thousand devices reconnect at once, a few are admitted at a time. In between the loop handles the frames of
live sessions and look-ups.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Admission:
    """Admits ``per_turn`` callers in each iteration of the loop; the others wait in a queue."""

    def __init__(self, per_turn: int) -> None:
        self._per_turn = per_turn
        self._left = per_turn
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._turn_planned = False

    async def enter(self) -> None:
        """Wait until the caller is admitted. A caller that is cancelled leaves the queue."""
        self._plan_turn()
        if self._left > 0 and not self._waiting:
            self._left -= 1
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(admitted)
        await admitted

    def __len__(self) -> int:
        """Return how many callers wait."""
        return len(self._waiting)

    def _plan_turn(self) -> None:
        if not self._turn_planned:
            self._turn_planned = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turn_planned = False
        self._left = self._per_turn
        while self._waiting and self._left > 0:
            admitted = self._waiting.popleft()
            if not admitted.done():
                admitted.set_result(None)
                self._left -= 1
        if self._waiting:
            self._plan_turn()
