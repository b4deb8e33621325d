"""The log's index on SQLite: the activities of each party. It is updated in large steps, after the log.

A commit only appends rows. The index has a separate place for each party, and writing those places with every commit
cost more than the rows themselves. So entries are added for a few thousand activities together, sorted, between two
commits. The ids of activities that are not indexed yet are in memory (:class:`UnindexedIds`), and they are read by id.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from protocol.activity import Activity
from storage.contract import Range
from storage.sqlite.connection import DriverConnection

INDEX_EVERY = 512
COMMITS_A_STEP = 4
"""One step takes in at least so many activities, and at least so many commits' worth where these are large: more makes
a step cheaper for each activity, and holds up the next commit longer (3 to 4 ms for 512)."""

_ADVANCE = (
    """INSERT INTO party_activity (party, activity)
       SELECT sender, id FROM activity WHERE id > ?1
       UNION ALL SELECT receiver, id FROM activity WHERE id > ?1 AND receiver <> sender
       ORDER BY 1, 2""",
    "INSERT INTO conversation_activity (conversation, activity)"
    " SELECT conversation, id FROM activity WHERE id > ?1 ORDER BY 1, 2",
)
Unindexed = tuple[int, int, int]


def indexed_until(connection: DriverConnection) -> int:
    """Return the id up to which everything is indexed."""
    [indexed] = connection.execute("SELECT indexed FROM log_index").fetchone()
    return int(indexed)


def advance(connection: DriverConnection, head: int) -> None:
    """Bring the index up to ``head``, the newest id; within a transaction."""
    indexed = indexed_until(connection)
    if indexed < head:
        for statement in _ADVANCE:
            connection.execute(statement, (indexed,))
        connection.execute("UPDATE log_index SET indexed = ?", (head,))


def unindexed(connection: DriverConnection) -> list[Unindexed]:
    """Return (id, sender, receiver) of the activities that are not indexed yet, in id order."""
    sql = "SELECT id, sender, receiver FROM activity WHERE id > (SELECT indexed FROM log_index) ORDER BY id"
    return connection.execute(sql).fetchall()


class UnindexedIds:
    """The ids of the activities that are not indexed yet, by party, in ascending order.

    It may contain more: an activity that was indexed meanwhile is found twice, and recognised by its id. They are put
    in order when somebody reads: while all sessions are live, most are indexed without that.
    """

    __slots__ = ("_ids", "_new", "_size")

    def __init__(self, rows: Iterable[Unindexed] = ()) -> None:
        self._ids: dict[int, list[int]] = {}
        self._new: list[Unindexed] = list(rows)
        self._size = len(self._new)

    def add(self, activities: Sequence[Activity]) -> None:
        """Add activities that were appended."""
        self._new += [(activity.id, activity.sender, activity.receiver) for activity in activities]
        self._size += len(activities)

    def clear(self) -> None:
        """Remove all ids, because everything is indexed."""
        self._ids.clear()
        self._new.clear()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def concerns(self, parties: Sequence[int]) -> bool:
        """Return whether it has an activity of these parties."""
        self._put_in_order()
        return any(party in self._ids for party in parties)

    def within(self, wanted: Range) -> list[int]:
        """Return the ids in a range, in ascending order, as a new list."""
        self._put_in_order()
        other = wanted.with_party
        if other is None or other in wanted.parties:
            return sorted({id for party in _sides(wanted) for id in self._between(party, wanted)})
        with_other = set(self._between(other, wanted))
        return sorted(with_other.intersection(*[{id for mine in wanted.parties for id in self._between(mine, wanted)}]))

    def _put_in_order(self) -> None:
        for id, sender, receiver in self._new:
            self._ids.setdefault(sender, []).append(id)
            if receiver != sender:
                self._ids.setdefault(receiver, []).append(id)
        self._new.clear()

    def _between(self, party: int, wanted: Range) -> list[int]:
        ids = self._ids.get(party, [])
        return ids[bisect_right(ids, wanted.after) : bisect_left(ids, wanted.before)] if ids else ids


def _sides(wanted: Range) -> tuple[int, ...]:
    return wanted.parties if wanted.with_party is None else (wanted.with_party,)
