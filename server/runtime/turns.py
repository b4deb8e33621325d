"""Splits long work in the event loop into short pieces, so that live pushes and look-ups run in between."""

from __future__ import annotations

import asyncio
from time import perf_counter

SLICE_SECONDS = 0.002
"""How long one piece of work keeps the loop before it gives way."""


class Turns:
    """One piece of long work: call :meth:`give` between its steps, each of which should be short."""

    __slots__ = ("_seconds", "_since")

    def __init__(self, seconds: float = SLICE_SECONDS) -> None:
        self._seconds = seconds
        self._since = perf_counter()

    async def give(self) -> None:
        """Yield to the event loop if the work has run for that long."""
        if perf_counter() - self._since > self._seconds:
            await asyncio.sleep(0)
            self._since = perf_counter()
