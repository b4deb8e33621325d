"""Reads what an operator may know of one activity, whoever its parties are: never its text."""

from __future__ import annotations

from typing import Final, NamedTuple

from storage.database import Database

MAX_DEVICES: Final = 1_000
"""Devices of one activity's parties that are read: a company may have thousands of members."""


class ActivityFacts(NamedTuple):
    """An activity without its text. ``message_bytes`` is None if it has none, or if it was emptied."""

    id: int
    type: int
    sender: int
    receiver: int
    author: int
    about: int | None
    created_at_ms: int
    message_bytes: int | None


class DeviceMark(NamedTuple):
    """A device of one of the parties' people, and the newest id that it has confirmed."""

    person_id: int
    device_id: str
    received_id: int
    seen_at_ms: int


async def activity_facts(database: Database, id: int) -> ActivityFacts | None:
    """Return the activity, or None if there is none with this id."""
    size = "OCTET_LENGTH(message)" if database.dialect == "postgresql" else "LENGTH(CAST(message AS BLOB))"
    columns = f"id, type, sender, receiver, author, about, created_at_ms, {size}"
    rows = await database.fetch(f"SELECT {columns} FROM activity WHERE id = ?", id)
    return ActivityFacts(*rows[0]) if rows else None


async def devices_of(database: Database, party: int) -> list[DeviceMark]:
    """Return the devices of a person, or of a company's members (a negative key), at most MAX_DEVICES."""
    people = "= ?" if party > 0 else "IN (SELECT person_id FROM member WHERE company_id = ?)"
    rows = await database.fetch(
        f"SELECT person_id, device_id, received_id, seen_at_ms FROM device WHERE person_id {people}"
        " ORDER BY person_id, device_id LIMIT ?",
        abs(party),
        MAX_DEVICES,
    )
    return [DeviceMark(*row) for row in rows]
