"""Pacing for what may come in storms: so many a turn of the event loop, first come first served.

Ten thousand devices that come back at once are let in a few at a time, so that between any two of them the loop gets to
the live sessions' frames and the look-ups.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turnstile:
    """Lets ``per_turn`` callers pass in each turn of the loop; the others wait in line."""

    def __init__(self, per_turn: int) -> None:
        self._per_turn = per_turn
        self._left = per_turn
        self._line: deque[asyncio.Future[None]] = deque()
        self._turning = False

    async def enter(self) -> None:
        """Wait for one's turn. Somebody who gives up (cancelled) leaves the line."""
        self._turn()
        if self._left > 0 and not self._line:
            self._left -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        await place

    def __len__(self) -> int:
        """How many wait."""
        return len(self._line)

    def _turn(self) -> None:
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turning = False
        self._left = self._per_turn
        while self._line and self._left > 0:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                self._left -= 1
        if self._line:
            self._turn()
