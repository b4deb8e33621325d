"""What the activity log promises, whichever database keeps it. One test suite checks every backend against this.

1. **Durable before acknowledged**: when ``append`` returns, its activities survive a ``kill -9`` and a power cut.
2. **Visible in order**: once any reader has seen id N, no id below N will ever appear. Ids are never given twice.
3. **Idempotent by constraint**: the same author's same chat ``message_id``, or same idempotency key, is stored once.
4. **Atomic**: a batch commits whole or not at all; a refused activity does not affect the others.
5. **Cost follows what is returned**, not the size of the history.
6. **Bounded in bytes**: no read returns, or holds on its way, more than its budget and one activity. The database cuts
   the page, so that no caller can exhaust the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Generic, NamedTuple, Protocol, TypeVar

from protocol.activity import Activity
from protocol.validation import MAX_ID

T = TypeVar("T")

PAGE_BYTES = 1024 * 1024
"""How much one read returns unless it is asked for less: enough that a round trip costs little beside it."""
ROW_BYTES = 300
"""What counts for an activity besides the bytes of its message: about what its other fields take when encoded."""


class Posting(NamedTuple):
    """One activity to append: checked values, the person who wrote it, and how a repeat of it is known.

    ``sender`` and ``receiver`` are party keys. ``idempotency_hash`` is a digest of the request's body (16 bytes).
    """

    type: int
    sender: int
    receiver: int
    author: int
    call_time: int | None
    message: str | None
    message_id: str | None
    created_at_ms: int
    idempotency_key: str | None = None
    idempotency_hash: bytes | None = None


class Refusal(Enum):
    """Why an activity was not stored."""

    MESSAGE_NOT_FOUND = "the message it is about does not exist between these two parties"
    MESSAGE_ID_REUSED = "the message id was used before, towards another party"
    KEY_REUSED = "the idempotency key was used before, with another body"


class Stored(NamedTuple):
    """The activity as it stands in the log. ``duplicate``: it was stored before, and this is that row."""

    activity: Activity
    duplicate: bool


Result = Stored | Refusal


class Commit(NamedTuple):
    """What a batch did: it assigned all ids in (previous_head, head], in one critical section."""

    previous_head: int
    head: int
    results: list[Result]


class Range(NamedTuple):
    """Which activities to read: those of any of ``parties`` (keys) with after < id < before.

    With ``with_party`` only those whose other side, or own side, is that party. Oldest first unless ``newest_first``.
    At most ``limit``, and no more once they reach ``max_bytes``: their messages' UTF-8 and ``ROW_BYTES`` each.
    """

    parties: tuple[int, ...]
    after: int = 0
    before: int = MAX_ID
    limit: int = 500
    with_party: int | None = None
    newest_first: bool = False
    max_bytes: int = PAGE_BYTES

    def beyond(self, id: int) -> Range:
        """Return the same range, beginning after that id: for the next page."""
        return self._replace(before=id) if self.newest_first else self._replace(after=id)


class Page(NamedTuple, Generic[T]):
    """What one read returned. ``more``: there are further activities after the last of ``rows``.

    A page may be shorter than its limit although there is more. It has at least one row if there is any.
    """

    rows: list[T]
    more: bool


class Conversation(NamedTuple):
    """One conversation as one of its sides sees it. ``read_id``: up to which id the other side has read."""

    mine: int
    party: int
    last: Activity
    unread: int
    read_id: int = 0


class LogState(NamedTuple):
    """The log's history (``epoch``), its newest id, and how many changes were made to stored activities.

    ``amendments`` grows with every erasure, emptying by age and correction, in the transaction that does it. A cache of
    activities compares it to learn whether it is stale. Activities that are read after this value include at least that
    many changes.
    """

    epoch: str
    head: int
    amendments: int


class ActivityLog(Protocol):
    """The log. Raises StorageUnavailable when nothing was stored and a later try may work."""

    async def state(self) -> LogState:
        """Return the log's state now."""
        ...

    async def append(self, batch: Sequence[Posting]) -> Commit:
        """Store a batch durably; return one result for each posting, in order.

        An empty batch is a durable commit too, by the same code: it shows whether the log accepts writes now.
        """
        ...

    async def read(self, ranges: Sequence[Range]) -> list[Page[Activity]]:
        """Read several ranges in one round trip; one page for each, each in id order."""
        ...

    async def tail(self, after: int, limit: int, max_bytes: int = PAGE_BYTES) -> Page[Activity]:
        """Return the activities of all parties newer than ``after``, in id order; limits as in :class:`Range`."""
        ...

    async def conversations(
        self, parties: Sequence[int], limit: int, before: int = MAX_ID, max_bytes: int = PAGE_BYTES
    ) -> Page[Conversation]:
        """Return the conversations of these parties, the one with the newest activity first.

        Only those whose newest activity is older than ``before``. Two of the parties that have talked with each other
        have two conversations with the same newest activity; both are on one page, which may exceed ``limit`` by one.
        """
        ...

    async def clear(self, party: int) -> str:
        """Delete all of a party's activities (a development tool); returns the new epoch."""
        ...

    async def erase(self, party: int) -> int:
        """Turn what a party wrote into empty tombstones that keep id and time; returns how many.

        Its message ids and idempotency keys are deleted too: an activity that uses one again is stored as new.
        """
        ...

    async def erase_before(self, created_before_ms: int, now_ms: int, limit: int) -> int:
        """Empty the text of at most ``limit`` activities created before that; returns how many.

        Message ids and idempotency keys stay: a late repeat still gets the first activity. A time after ``now_ms`` was
        written by a fast clock; such an activity counts as old as the next one with a time that is not in the future.
        """
        ...

    async def renew_epoch(self) -> str:
        """Give the log a new epoch and return it, because history may have been lost or rewritten."""
        ...

    async def close(self) -> None:
        """Release what the log holds. Call it before its database is closed."""
        ...
