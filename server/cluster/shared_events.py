"""Live events for sessions on every node: here at once, on other nodes by a notice."""

from __future__ import annotations

from collections.abc import Iterable

from protocol.events import EventName
from server.bus.contract import Bus
from server.bus.notices import Happened
from server.live.events import EventData, Events, made


class SharedEvents:
    """``server.live.events.Events`` over several nodes."""

    def __init__(self, here: Events, bus: Bus) -> None:
        self._here = here
        self._bus = bus

    def publish(self, parties: Iterable[int], name: EventName, data: EventData, but: int | None = None) -> None:
        concerned, data = list(parties), made(data)
        self._here.publish(concerned, name, data, but)
        self._bus.publish(Happened(concerned, name.value, dict(data), but))

    def heard(self, notice: Happened) -> None:
        """Deliver an event that another node has published."""
        if notice.name in _NAMES:
            self._here.publish(notice.parties, EventName(notice.name), notice.data, notice.but)


_NAMES = frozenset(EventName)
"""A newer release may know more of them: those are left out."""
