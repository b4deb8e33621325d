"""The interface for live events, which connected sessions get now and which are never stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from protocol.events import EventName

EventData = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
"""What an event says, or a function that makes it: it is called only if somebody gets the event."""


def made(data: EventData) -> Mapping[str, Any]:
    """Return what an event says."""
    return data() if callable(data) else data


class Events(Protocol):
    """Publishes live events of the services. Delivery is best effort and never waits for a socket."""

    def publish(self, parties: Iterable[int], name: EventName, data: EventData, but: int | None = None) -> None:
        """Send an event to every live session of these parties, on every node.

        A company (``-id``) stands for its members.

        ``but``: a person none of whose devices get it, because they caused it.
        """
        ...
