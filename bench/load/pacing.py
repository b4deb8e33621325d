"""The open loop: requests are sent at times fixed beforehand, independent of the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

NAP_SECONDS = 0.0001


@dataclass(slots=True)
class Schedule:
    """`rate` requests a second for `seconds`, evenly spaced.

    `fire(number)` sends one. Latency counts from `due[number]`, the time at which it should have been sent
    (`time.perf_counter`), never from the time at which it was. Those of the first `warm_up_seconds` find empty caches
    and are not counted (`counts`).

    It waits for the next due time by polling the clock; with `shares_core` by sleeps of a tenth of a millisecond, if
    something that is measured (a database) runs on the load's core.
    """

    rate: float
    seconds: float
    fire: Callable[[int], None]
    warm_up_seconds: float = 0.0
    shares_core: bool = False
    due: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    is_stopped: bool = False

    def counts(self, number: int) -> bool:
        """Return whether this one is after the warm-up."""
        return number >= self.warm_up_seconds * self.rate

    def stop(self) -> None:
        """Send no more: `run` returns soon."""
        self.is_stopped = True

    async def run(self) -> None:
        """Send everything, or until `stop`, then return; answers may still be outstanding.

        Raises what `fire` raises.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        first = time.perf_counter() + 0.01
        whole_seconds = self.warm_up_seconds + self.seconds
        self.due = [first + number / self.rate for number in range(int(self.rate * whole_seconds))]
        position = 0

        def spin() -> None:
            """Check the clock in every iteration of the loop: its timers are too coarse by a millisecond."""
            try:
                send_what_is_due()
            except Exception as error:  # noqa: BLE001 - else nobody hears of it, and `run` waits for ever
                done.set_exception(error)

        def send_what_is_due() -> None:
            nonlocal position
            now = time.perf_counter()
            while position < len(self.due) and self.due[position] <= now and not self.is_stopped:
                self.lateness.append(now - self.due[position])
                self.fire(position)
                position += 1
            if position < len(self.due) and not self.is_stopped:
                if self.shares_core and self.due[position] - now > NAP_SECONDS:
                    time.sleep(NAP_SECONDS)
                loop.call_soon(spin)
            elif not done.done():
                done.set_result(None)

        spin()
        await done


async def wait_until(condition: Callable[[], bool], *, within_seconds: float) -> bool:
    """Check `condition` every few milliseconds until it holds; False after the time limit."""
    deadline = time.perf_counter() + within_seconds
    while not condition():
        if time.perf_counter() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True
