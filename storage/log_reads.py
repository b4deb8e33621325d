"""The SQL that reads ranges of the log: one scan per party and direction, merged by id without a sort.

``sender IN mine`` and ``receiver IN mine AND sender NOT IN mine`` split a person's activity in two, so that nothing
comes twice, and each branch is a range of an index that ends in the id. Both dialects merge the branches of a UNION ALL
that are each in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from storage.contract import Range

MAX_BRANCHES = 16
"""Parties in one statement; somebody with more is read in several and merged by id in memory (heapq.merge)."""


@lru_cache(maxsize=256)
def by_party(columns: str, parties: int, excluded: int, newest_first: bool) -> str:
    """SQL for ``parties`` keys; binds: excluded keys are all of the person's, given once per receiver branch."""
    order = "DESC" if newest_first else "ASC"
    sent = f"SELECT {columns} FROM activity WHERE sender = ? AND id > ? AND id < ?"
    others = ", ".join("?" * excluded)
    received = f"SELECT {columns} FROM activity WHERE receiver = ? AND id > ? AND id < ? AND sender NOT IN ({others})"
    branches = " UNION ALL ".join([sent] * parties + [received] * parties)
    return f"{branches} ORDER BY id {order} LIMIT ?"


def by_party_binds(wanted: Range, parties: Sequence[int]) -> list[int]:
    """The parameters that go with :func:`by_party`."""
    binds: list[int] = []
    for party in parties:
        binds += (party, wanted.after, wanted.before)
    for party in parties:
        binds += (party, wanted.after, wanted.before, *wanted.parties)
    return [*binds, wanted.limit]


@lru_cache(maxsize=256)
def by_conversation(columns: str, conversations: int, newest_first: bool) -> str:
    """SQL for some conversations; binds: (conversation, after, before) each, then the limit."""
    order = "DESC" if newest_first else "ASC"
    one = f"SELECT {columns} FROM activity WHERE conversation = ? AND id > ? AND id < ?"
    return f"{' UNION ALL '.join([one] * conversations)} ORDER BY id {order} LIMIT ?"
