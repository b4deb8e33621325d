"""Activities as the server takes them: made idempotent, once, before they are sent for the first time."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from buzz_client.activity import Party


def chat_activity(kind: str, sender: Party, to: Party, **fields: str | None) -> dict[str, Any]:
    """One of the three chat activities from one party to another; fields that are None are left out."""
    return {
        "type": kind,
        "sendable_type": sender.kind,
        "sendable_id": sender.id,
        "receivable_type": to.kind,
        "receivable_id": to.id,
        **{name: value for name, value in fields.items() if value is not None},
    }


def idempotent(activity: Mapping[str, Any]) -> dict[str, Any]:
    """The activity with what lets it be sent twice and stored once.

    A message is known by its own ``message_id``; in the other types that field names what they are about, so they get
    an ``idempotency_key``.
    """
    name = "message_id" if activity.get("type") == "chat_message" else "idempotency_key"
    return {name: str(uuid.uuid4()), **activity}


def as_party(to: Party | str) -> Party:
    """Read ``person:7`` where it is not a `Party` already."""
    return Party.parse(to) if isinstance(to, str) else to
