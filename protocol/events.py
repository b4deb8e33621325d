"""Live events: the names that an ``event`` frame can have. They are sent to connected sessions and never stored."""

from __future__ import annotations

from enum import StrEnum


class EventName(StrEnum):
    """What has happened. ``protocol.answers.EVENT_DATA`` has the type of the data for each name."""

    CALL_RINGING = "call.ringing"
    CALL_BLOCKED = "call.blocked"
    TRUST_REQUESTED = "trust.requested"
    DIRECTORY_CHANGED = "directory.changed"
    KEY_CHANGED = "key.changed"
    DEVICE_ADDED = "device.added"
    DEVICE_REMOVED = "device.removed"
    RECEIPT = "receipt"
    NUMBER_GIVEN = "number.given"
    ACTIVITY_CHANGED = "activity.changed"
    TYPING = "typing"
    TOKEN_EXPIRING = "token.expiring"
    PRIVACY_REQUEST_RECEIVED = "privacy_request.received"
    PRIVACY_REQUEST_UPDATED = "privacy_request.updated"
