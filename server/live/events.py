"""Live events: what is told to connected sessions now and is never part of the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Protocol


class EventName(StrEnum):
    """The names an ``event`` frame can carry."""

    CALL_RINGING = "call.ringing"
    CALL_BLOCKED = "call.blocked"
    TRUST_REQUESTED = "trust.requested"
    DIRECTORY_CHANGED = "directory.changed"
    KEY_CHANGED = "key.changed"
    NUMBER_GIVEN = "number.given"
    ACTIVITY_CHANGED = "activity.changed"
    TYPING = "typing"
    TOKEN_EXPIRING = "token.expiring"
    PRIVACY_REQUEST_RECEIVED = "privacy_request.received"
    PRIVACY_REQUEST_UPDATED = "privacy_request.updated"


class Events(Protocol):
    """Where services put live events. Delivery is best effort and never waits for a socket."""

    def publish(self, parties: Iterable[int], name: EventName, data: Mapping[str, Any], but: int | None = None) -> None:
        """Tell every live session of these parties, on every node. A company (``-id``) stands for its members.

        ``but``: a person who is not told, on none of their devices: it is their own doing.
        """
        ...
