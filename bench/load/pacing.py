"""The open loop: requests leave at times fixed beforehand, whatever the server does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

NAP_SECONDS = 0.0001


@dataclass(slots=True)
class Schedule:
    """`rate` requests a second for `seconds`, evenly spaced.

    `fire(number)` sends one. Latency counts from `due[number]`, the time at which it should have gone out
    (`time.perf_counter`), never from the time at which it did. The first `warm_up_seconds` of them find caches cold and
    are not counted (`counts`).

    Waiting for the next due time is a busy look at the clock; with `shares_core` it is naps of a tenth of a
    millisecond, for when something that is measured (a database) runs on the load's core.
    """

    rate: float
    seconds: float
    fire: Callable[[int], None]
    warm_up_seconds: float = 0.0
    shares_core: bool = False
    due: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)

    def counts(self, number: int) -> bool:
        """Whether this one is not of the warm-up."""
        return number >= self.warm_up_seconds * self.rate

    async def run(self) -> None:
        """Fire everything, then return; answers may still be under way."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        first = time.perf_counter() + 0.01
        whole_seconds = self.warm_up_seconds + self.seconds
        self.due = [first + number / self.rate for number in range(int(self.rate * whole_seconds))]
        position = 0

        def spin() -> None:
            """Look at the clock once every turn of the loop: timers of an event loop are a millisecond too coarse."""
            nonlocal position
            now = time.perf_counter()
            while position < len(self.due) and self.due[position] <= now:
                self.lateness.append(now - self.due[position])
                self.fire(position)
                position += 1
            if position < len(self.due):
                if self.shares_core and self.due[position] - now > NAP_SECONDS:
                    time.sleep(NAP_SECONDS)
                loop.call_soon(spin)
            elif not done.done():
                done.set_result(None)

        spin()
        await done


async def wait_until(condition: Callable[[], bool], *, within_seconds: float) -> bool:
    """Look at `condition` every few milliseconds until it holds; False when the time is up."""
    deadline = time.perf_counter() + within_seconds
    while not condition():
        if time.perf_counter() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True
