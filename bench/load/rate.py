"""Rates: how fast a counter grew, and the processor time of server and load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.figures import Reading
from bench.process import ServerProcess

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """The rate of a closed loop, how busy each side's core was (0 to 1), and the server's processor time for one.

    A server that was not completely busy shows that something else limited the loop. `server_wanted` also counts the
    time in which it waited for a core that other programs used.
    """

    a_second: float
    server_busy: float
    load_busy: float
    server_wanted: float = 1.0

    @property
    def server_microseconds(self) -> float:
        return self.server_busy / self.a_second * MICROSECONDS if self.a_second else float("nan")


class Stopwatch:
    """Wall and processor time of both sides since its creation."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._server_cpu = server.cpu_seconds()
        self._server_wanted = server.wanted_seconds()
        self._load_cpu = time.process_time()
        self._started_at = time.perf_counter()

    def rate(self, how_many: int) -> Rate:
        elapsed = time.perf_counter() - self._started_at
        server_cpu = self._server.cpu_seconds() - self._server_cpu
        load_cpu = time.process_time() - self._load_cpu
        wanted = self._server.wanted_seconds() - self._server_wanted
        return Rate(how_many / elapsed, server_cpu / elapsed, load_cpu / elapsed, wanted / elapsed)


async def measure_rate(
    server: ServerProcess, count: Callable[[], int], *, warm_up_seconds: float, seconds: float
) -> Rate:
    """Return the growth of a counter per second of wall time, after a warm-up."""
    await asyncio.sleep(warm_up_seconds)
    counted, watch = count(), Stopwatch(server)
    await asyncio.sleep(seconds)
    return watch.rate(count() - counted)


def reading(mine: Rate, control: Rate) -> Reading:
    """Return a saturating row's rates, and how busy the less busy of the two servers was."""
    return Reading(mine.a_second, control.a_second, min(mine.server_busy, control.server_busy))


def compare(mine: Rate, control: Rate) -> str:
    """Return a note for the reader: processor time for one, and whether the load was the limit."""
    return (
        f"{mine.server_microseconds:.1f} µs of the server's processor each (control {control.server_microseconds:.1f});"
        f" busy: server {mine.server_busy:.0%}, load {mine.load_busy:.0%}"
        f" (control {control.server_busy:.0%}, {control.load_busy:.0%})"
    )
