"""Rows that say what a change of the directory made stale: nodes read them to update their caches.

The rows are written in the transaction of the change, so no node can miss one, neither by a lost notice nor by a commit
whose answer was lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from storage.database import Reader, Transaction

KEPT_MS: Final = 60_000
"""How long a row is kept. A node looks every second; one that was away for longer drops everything it keeps."""
_MAX_READ: Final = 1_000


class DirectoryChange(NamedTuple):
    """What one change of the directory makes stale, on every node. None stands for everything (a huge import).

    ``names``: keys of parties that were added, removed or renamed. ``members``: people who were added, removed, or
    whose companies changed.
    """

    names: tuple[int, ...] | None = ()
    members: tuple[int, ...] | None = ()


NOTHING: Final = DirectoryChange()
EVERYTHING: Final = DirectoryChange(None, None)


async def record(transaction: Transaction, change: DirectoryChange, now_ms: int) -> None:
    """Write what a change makes stale, as the last statement before its commit.

    If nothing is stale, nothing is written.
    """
    if change == NOTHING:
        return
    [(version,)] = await transaction.fetch("UPDATE directory_counter SET version = version + 1 RETURNING version")
    await transaction.execute(
        "INSERT INTO directory_change (version, changed_at_ms, names, members) VALUES (?, ?, ?, ?)",
        version,
        now_ms,
        _as_text(change.names),
        _as_text(change.members),
    )
    await transaction.execute("DELETE FROM directory_change WHERE changed_at_ms < ?", now_ms - KEPT_MS)


async def since(reader: Reader, version: int) -> tuple[int, DirectoryChange | None]:
    """Return the directory's version now, and what was made stale since ``version``; None if nothing was.

    Everything counts as stale if the rows are incomplete: they were deleted, or a fail-over lost the newest ones.
    """
    rows = await reader.fetch(_SINCE, version)
    now = rows[0][0]
    if now == version:
        return version, None
    changes = rows if rows[0][1] is not None else []
    if now < version or len(changes) != now - version:
        return now, EVERYTHING
    return now, merged(DirectoryChange(_as_keys(names), _as_keys(members)) for _, _, names, members in changes)


def merged(changes: Iterable[DirectoryChange]) -> DirectoryChange:
    """Merge several changes into one."""
    names: set[int] | None = set()
    members: set[int] | None = set()
    for change in changes:
        names = None if names is None or change.names is None else names | set(change.names)
        members = None if members is None or change.members is None else members | set(change.members)
    return DirectoryChange(
        None if names is None else tuple(sorted(names)), None if members is None else tuple(sorted(members))
    )


def _as_text(keys: tuple[int, ...] | None) -> str | None:
    return None if keys is None else json.dumps(keys)


def _as_keys(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else tuple(json.loads(text))


# One statement, so that the counter and the rows are of the same moment.
_SINCE: Final = f"""
    SELECT directory_counter.version, directory_change.version, directory_change.names, directory_change.members
    FROM directory_counter LEFT JOIN directory_change ON directory_change.version > ?
    ORDER BY directory_change.version LIMIT {_MAX_READ}"""
