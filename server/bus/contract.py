"""The contract of the bus between nodes: notices only, best effort.

It does not promise that a notice arrives, arrives once, or in order. It promises to report when it does not work: after
``up`` was False, ``on_up`` is called as soon as it works again, and the listener must then read what it missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from server.bus.notices import NodeState, Notice


class BusError(Exception):
    """The bus can't be used as it is configured; the message says what to change."""


@dataclass(frozen=True)
class Listener:
    """Receives other nodes' notices, and is told when the bus begins or ceases to work. Nothing here is awaited.

    ``on_notice(node, epoch, notice)``: ``epoch`` is the log's as the sending node knows it; an exception is logged.
    """

    on_notice: Callable[[bytes, str, Notice], None]
    on_up: Callable[[], None]
    on_down: Callable[[], None]


class Bus(Protocol):
    """The bus; each node has one."""

    @property
    def up(self) -> bool:
        """Whether the bus works."""
        ...

    @property
    def counts(self) -> Counter[str]:
        """Counts of notices (``published``, ``heard``, ``dropped``, ``malformed``), for the metrics."""
        ...

    @property
    def shared(self) -> bool:
        """Whether there can be other nodes."""
        ...

    def publish(self, notice: Notice) -> None:
        """Send a notice to the other nodes, soon. Never waits; while the bus is down the notice is dropped."""
        ...

    def listen(self, listener: Listener, epoch: Callable[[], str], state: Callable[[], NodeState]) -> None:
        """Begin to pass notices to the listener.

        ``epoch()`` is the log's epoch, sent with every message; ``state()`` what this node says of itself, sent with
        every beat.
        """
        ...

    async def flowing(self, seconds: float) -> None:
        """Wait until the bus works, at most that long: notices published before are dropped."""
        ...

    async def flushed(self, seconds: float) -> None:
        """Wait until published notices were sent, at most that long."""
        ...

    async def ping(self) -> None:
        """Raise BusError while the bus does not work."""
        ...
