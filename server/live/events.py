"""Where live events go in: what connected sessions are told now and is never part of the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from protocol.events import EventName


class Events(Protocol):
    """Where services put live events. Delivery is best effort and never waits for a socket."""

    def publish(self, parties: Iterable[int], name: EventName, data: Mapping[str, Any], but: int | None = None) -> None:
        """Tell every live session of these parties, on every node. A company (``-id``) stands for its members.

        ``but``: a person who is not told, on none of their devices: it is their own doing.
        """
        ...
