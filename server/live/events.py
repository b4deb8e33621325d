"""The interface for live events, which connected sessions get now and which are never stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from protocol.events import EventName


class Events(Protocol):
    """Publishes live events of the services. Delivery is best effort and never waits for a socket."""

    def publish(self, parties: Iterable[int], name: EventName, data: Mapping[str, Any], but: int | None = None) -> None:
        """Send an event to every live session of these parties, on every node.

        A company (``-id``) stands for its members.

        ``but``: a person none of whose devices get it, because they caused it.
        """
        ...
