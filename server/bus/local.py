"""No bus: one process is alone, and its hub is handed each commit directly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from server.bus.contract import Listener
from server.bus.notices import Notice


class LocalBus:
    """``server.bus.contract.Bus`` of a node that has no others."""

    up = True
    shared = False

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def publish(self, notice: Notice) -> None:
        """There is nobody to tell."""

    def listen(self, listener: Listener, epoch: Callable[[], str]) -> None:
        """Nobody will ever tell us anything."""

    async def flowing(self, seconds: float) -> None:
        """There is nothing to wait for."""

    async def flushed(self, seconds: float) -> None:
        """Nothing ever waits."""

    async def ping(self) -> None:
        """What is not there does not fail."""
