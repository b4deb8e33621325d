"""Which chat messages SQLite has stored, by author and message id: a table that follows the log, the rest in memory.

A message id is used once by an author. A unique index that every commit writes would enforce it, but each author's
entries are at another place, and writing those places cost more than the rows. So the table ``message_key`` is updated
between commits, and the messages after ``log_index.messages`` are kept in memory (:class:`RecentMessages`). Within the
transaction that appends, both are looked at: the answer is that of a unique index at every moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocol.activity import ActivityType
from storage.contract import Posting
from storage.sqlite.connection import DriverConnection

MESSAGES_EVERY: Final = 2_048
"""One step takes in at least so many messages: more makes a step cheaper for each message, and holds up the next commit
longer (about 2 microseconds for each message)."""

STORED: Final = "(SELECT activity FROM message_key WHERE author = ? AND message_id = ?)"
"""The id of the chat message with an author and a message id, if the table has it."""
FORGET: Final = """
    DELETE FROM message_key WHERE (author, message_id) IN (
        SELECT author, message_id FROM activity WHERE type = 0 AND message_id IS NOT NULL AND {rows})"""
"""``rows`` says which activities lose their message ids; all of them must be in the table."""

_AFTER: Final = "FROM activity WHERE id > ? AND type = 0 AND message_id IS NOT NULL"
_ADVANCE: Final = (
    f"INSERT INTO message_key (author, message_id, activity) SELECT author, message_id, id {_AFTER} ORDER BY 1, 2"
)
_READ: Final = f"SELECT author, message_id, id {_AFTER}"
_CHAT: Final = int(ActivityType.chat_message)
Key = tuple[int, str]


def advance(connection: DriverConnection, head: int) -> None:
    """Bring the table up to ``head``, the newest id; within a transaction."""
    [indexed] = connection.execute("SELECT messages FROM log_index").fetchone()
    if indexed < head:
        connection.execute(_ADVANCE, (indexed,))
        connection.execute("UPDATE log_index SET messages = ?", (head,))


class RecentMessages:
    """The ids of the chat messages that the table does not have yet, by author and message id.

    Only the writer's thread uses it, within a transaction. What it holds is compared with the database at each
    beginning (:meth:`follow`), so that a transaction that was rolled back, an erasure and a restart need nothing more.
    """

    __slots__ = ("_checked", "_head", "_ids", "_indexed")

    def __init__(self) -> None:
        self._ids: dict[Key, int] = {}
        self._checked: tuple[Sequence[Posting], list[Key]] = (), []
        self._head = self._indexed = -1

    def __len__(self) -> int:
        return len(self._ids)

    def follow(self, connection: DriverConnection, head: int, indexed: int) -> None:
        """Hold the messages in (indexed, head]: what is known is kept if it is of the same head, else read again."""
        if head != self._head:
            self._ids = {(author, message_id): id for author, message_id, id in connection.execute(_READ, (indexed,))}
        elif indexed != self._indexed:
            self._ids = {key: id for key, id in self._ids.items() if id > indexed}
        self._head, self._indexed = head, indexed

    def forget(self) -> None:
        """Read everything again at the next :meth:`follow`."""
        self._head = -1

    def add(self, previous_head: int, postings: Sequence[Posting]) -> None:
        """Add postings that were stored with the ids after ``previous_head``."""
        checked, keys = self._checked
        if checked is postings and len(keys) == len(postings):  # nothing but messages, as nearly always
            self._ids.update(zip(keys, range(previous_head + 1, previous_head + 1 + len(keys)), strict=True))
        else:
            self._ids.update(
                [
                    ((posting.author, posting.message_id), id)
                    for id, posting in enumerate(postings, previous_head + 1)
                    if posting.type == _CHAT and posting.message_id is not None
                ]
            )
        self._checked = (), []
        self._head = previous_head + len(postings)

    def get(self, key: Key) -> int | None:
        """Return the id of a message, None if it is not one of these."""
        return self._ids.get(key)

    def has_repeat(self, postings: Sequence[Posting]) -> bool:
        """Return whether a posting repeats one of these messages, or another one of the postings."""
        keys = [
            (posting.author, posting.message_id)
            for posting in postings
            if posting.type == _CHAT and posting.message_id is not None
        ]
        self._checked = postings, keys
        return len(set(keys)) < len(keys) or not self._ids.keys().isdisjoint(keys)
