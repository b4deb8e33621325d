"""Builds activities for the server, and makes them idempotent before they are sent for the first time."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from buzz_client.activity import Party


def chat_activity(kind: str, sender: Party, to: Party, **fields: str | None) -> dict[str, Any]:
    """Build one of the three chat activities from one party to another; fields that are None are left out."""
    return {
        "type": kind,
        "sendable_type": sender.kind,
        "sendable_id": sender.id,
        "receivable_type": to.kind,
        "receivable_id": to.id,
        **{name: value for name, value in fields.items() if value is not None},
    }


def idempotent(activity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the activity with an id or key, so that it can be sent twice and is stored once.

    A message is identified by its own ``message_id``; in the other types that field names the message that they refer
    to, so they get an ``idempotency_key``.
    """
    name = "message_id" if activity.get("type") == "chat_message" else "idempotency_key"
    return {name: str(uuid.uuid4()), **activity}


def as_party(to: Party | str) -> Party:
    """Return a `Party`, parsed from ``person:7`` if needed."""
    return Party.parse(to) if isinstance(to, str) else to
