"""No bus, for a single node: its hub gets each commit directly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from server.bus.contract import Listener
from server.bus.notices import NodeState, Notice


class LocalBus:
    """``server.bus.contract.Bus`` for a single node."""

    up = True
    shared = False

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def publish(self, notice: Notice) -> None:
        """Do nothing: there is no other node."""

    def listen(self, listener: Listener, epoch: Callable[[], str], state: Callable[[], NodeState]) -> None:
        """Do nothing: no notice ever arrives."""

    async def flowing(self, seconds: float) -> None:
        """Return at once."""

    async def flushed(self, seconds: float) -> None:
        """Return at once."""

    async def ping(self) -> None:
        """Do nothing: there is no bus that could fail."""
