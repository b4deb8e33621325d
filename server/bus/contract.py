"""The bus between nodes: notices only, best effort. What it promises and what it does not.

It does not promise that a notice arrives, arrives once, or in order. It promises to say when it does not work: after
``up`` has been False, ``on_up`` is called once notices flow again, and whatever was missed has to be looked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from server.bus.notices import Notice


class BusError(Exception):
    """The bus can't be used as it is configured; the message says what to change."""


@dataclass(frozen=True)
class Listener:
    """Who hears notices of other nodes, and that they begin or cease to flow. Nothing here is awaited.

    ``on_notice(node, epoch, notice)``: ``epoch`` is the log's as the sending node knows it; an exception is logged.
    """

    on_notice: Callable[[bytes, str, Notice], None]
    on_up: Callable[[], None]
    on_down: Callable[[], None]


class Bus(Protocol):
    """One for each node."""

    @property
    def up(self) -> bool:
        """Whether notices flow."""
        ...

    @property
    def counts(self) -> Counter[str]:
        """What became of notices (``published``, ``heard``, ``dropped``, ``malformed``), for the metrics."""
        ...

    @property
    def shared(self) -> bool:
        """Whether there may be other nodes."""
        ...

    def publish(self, notice: Notice) -> None:
        """Tell the other nodes, soon. Never waits; while the bus is down the notice is dropped."""
        ...

    def listen(self, listener: Listener, epoch: Callable[[], str]) -> None:
        """Begin to hand over notices. ``epoch()`` is the log's epoch, sent with every message."""
        ...

    async def flowing(self, seconds: float) -> None:
        """Wait until notices flow, at most that long: what is published before is dropped."""
        ...

    async def flushed(self, seconds: float) -> None:
        """Wait until what was published has gone out, at most that long."""
        ...

    async def ping(self) -> None:
        """Raise BusError while notices do not flow."""
        ...
