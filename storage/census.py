"""Counts and searches over the tables of several subjects: for the operator's figures, ``doctor`` and erasure."""

from __future__ import annotations

from typing import Final

from storage.database import Database

_COUNTED: Final = ("person", "company", "member", "contact", "device", "privacy_request", "webhook_endpoint")
"""Tables that are counted row by row; the log is not: its head says enough and costs nothing."""


async def counts(database: Database) -> dict[str, int]:
    """Return how many rows each of the smaller tables has."""
    found = {}
    for table in _COUNTED:
        [(found[table],)] = await database.fetch(f"SELECT COUNT(*) FROM {table}")
    return found


async def dropped_numbers(database: Database) -> tuple[int, int]:
    """Return how many contacts' numbers imports left out as not callable, and how many contacts have such numbers."""
    sql = "SELECT COALESCE(SUM(dropped_numbers), 0), COUNT(*) FROM contact WHERE dropped_numbers > 0"
    [(numbers, contacts)] = await database.fetch(sql)
    return int(numbers), int(contacts)


async def newest_activity(database: Database) -> int:
    """Return the largest id in the log, 0 if it is empty. The log's head is never below it."""
    [(newest,)] = await database.fetch("SELECT COALESCE(MAX(id), 0) FROM activity")
    return int(newest)


async def postgresql_settings(database: Database) -> dict[str, str]:
    """Return a PostgreSQL server's version, its jit, and the settings that make commits durable, as commits have them.

    Asked like a statement that writes: behind a pooler only that has Buzz's own ``synchronous_commit``.
    """
    names = "'server_version', 'jit', 'fsync', 'full_page_writes', 'synchronous_commit'"
    rows = await database.returning(f"SELECT name, setting FROM pg_settings WHERE name IN ({names})")
    return {str(name): str(setting) for name, setting in rows}


async def numbers_of_person(database: Database, person_id: int) -> list[str]:
    """Return the numbers that a person calls from, and the Buzz number they have (E.164)."""
    rows = await database.fetch(
        "SELECT e164 FROM phone WHERE owner_kind = 'person' AND owner_id = ?"
        " UNION SELECT e164 FROM buzz_number WHERE person_id = ? AND e164 IS NOT NULL",
        person_id,
        person_id,
    )
    return [e164 for (e164,) in rows]


async def public_keys_of_person(database: Database, person_id: int) -> int:
    """Return how many public keys a person has published, the replaced ones counted too."""
    [(count,)] = await database.fetch("SELECT COUNT(*) FROM public_key WHERE person_id = ?", person_id)
    return int(count)
