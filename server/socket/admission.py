"""Admission: limits the upgrades, and the hellos, in one iteration of the event loop, first come, first served.

When ten thousand devices reconnect at once, a few are admitted at a time. In between the loop handles the frames of
live sessions and look-ups.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Admission:
    """Admits ``per_turn`` callers in each iteration of the loop; the others wait in a queue."""

    def __init__(self, per_turn: int) -> None:
        self._per_turn = per_turn
        self._left = per_turn
        self._waiting: deque[Callable[[], bool]] = deque()
        self._turn_planned = False

    def enter_now(self) -> bool:
        """Admit the caller if there is room in this iteration; False: it must :meth:`enter` or :meth:`wait`."""
        if not self._turn_planned:
            self._plan_turn()
        if self._left > 0 and not self._waiting:
            self._left -= 1
            return True
        return False

    def wait(self, admitted: Callable[[], bool]) -> None:
        """Call ``admitted`` when there is room; it returns False if the caller has gone, and left its place unused."""
        self._waiting.append(admitted)
        if not self._turn_planned:
            self._plan_turn()

    async def enter(self) -> None:
        """Wait until the caller is admitted. A caller that is cancelled leaves the queue."""
        if self.enter_now():
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def admitted() -> bool:
            if place.done():
                return False
            place.set_result(None)
            return True

        self.wait(admitted)
        await place

    def __len__(self) -> int:
        """Return how many callers wait."""
        return len(self._waiting)

    def _plan_turn(self) -> None:
        self._turn_planned = True
        asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turn_planned = False
        self._left = self._per_turn
        while self._waiting and self._left > 0:
            if self._waiting.popleft()():
                self._left -= 1
        if self._waiting:
            self._plan_turn()
