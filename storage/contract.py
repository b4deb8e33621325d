"""What the activity log promises, whichever database keeps it. One test suite checks every backend against this.

1. **Durable before acknowledged**: when ``append`` returns, its activities survive a ``kill -9`` and a power cut.
2. **Visible in order**: once any reader has seen id N, no id below N will ever appear. Ids are never given twice.
3. **Idempotent by constraint**: the same author's same chat ``message_id``, or same idempotency key, is stored once.
4. **Atomic**: a batch commits whole or not at all; a refused activity does not spoil its neighbours.
5. **Cost follows what is returned**, not the size of the history.
6. **Bounded in bytes**: no read returns, or holds on its way, more than its budget and one activity. The database cuts
   the page, so that no caller can ask for more than memory has.
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
    """The activity as it stands in the log. ``duplicate``: this is the first one's row, nothing was stored now."""

    activity: Activity
    duplicate: bool


Result = Stored | Refusal


class Commit(NamedTuple):
    """What a batch did: everything in (previous_head, head] was given in its one critical section."""

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
        """The same from that id on: where a page has ended."""
        return self._replace(before=id) if self.newest_first else self._replace(after=id)


class Page(NamedTuple, Generic[T]):
    """What one read returned. ``more``: the same read goes on after the last of ``rows``.

    A page may be shorter than its limit although there is more. It has at least one row if there is any.
    """

    rows: list[T]
    more: bool


class Conversation(NamedTuple):
    """One conversation as one of its sides sees it."""

    mine: int
    party: int
    last: Activity
    unread: int


class LogState(NamedTuple):
    """Which history this is (``epoch``), the newest id given, and how often what was stored has been changed since.

    ``amendments`` grows with every erasure, emptying by age and correction, in the transaction that does it: whoever
    keeps activities in memory compares. What is read once it is known is as it stands after that many.
    """

    epoch: str
    head: int
    amendments: int


class ActivityLog(Protocol):
    """The log. Raises StorageUnavailable when nothing was stored and a later try may work."""

    async def state(self) -> LogState:
        """Where the log stands now."""
        ...

    async def append(self, batch: Sequence[Posting]) -> Commit:
        """Store a batch durably; one result for each posting, in order.

        An empty batch is a durable commit too, on the same way: it shows whether the log takes writes now.
        """
        ...

    async def read(self, ranges: Sequence[Range]) -> list[Page[Activity]]:
        """Read several ranges in one round trip; one page for each, each in id order."""
        ...

    async def tail(self, after: int, limit: int, max_bytes: int = PAGE_BYTES) -> Page[Activity]:
        """Everything newer than ``after``, whoever's it is, in id order; limits as in :class:`Range`."""
        ...

    async def conversations(
        self, parties: Sequence[int], limit: int, before: int = MAX_ID, max_bytes: int = PAGE_BYTES
    ) -> Page[Conversation]:
        """The conversations of these parties, the one with the newest activity first.

        Only those whose newest activity is older than ``before``. Those with the same one (two of the parties have
        talked with each other) are never on two pages; there ``limit`` is exceeded by one.
        """
        ...

    async def partners(self, party: int) -> list[int]:
        """The keys of everybody this party has talked with."""
        ...

    async def clear(self, party: int) -> str:
        """Delete all of a party's activities (a development tool); returns the new epoch."""
        ...

    async def erase(self, party: int) -> int:
        """Turn what a party wrote into empty tombstones that keep id and time; returns how many.

        Its message ids and idempotency keys are forgotten too: whoever used one again would store something new.
        """
        ...

    async def erase_before(self, created_before_ms: int, now_ms: int, limit: int) -> int:
        """Empty the text of at most ``limit`` activities created before that; returns how many.

        Message ids and idempotency keys stay: a late repeat still gets the first activity. A time beyond ``now_ms`` is
        a fast clock's; such an activity is as old as the next one that has none.
        """
        ...

    async def renew_epoch(self) -> str:
        """History may have been lost or rewritten: give the log a new epoch and return it."""
        ...

    async def close(self) -> None:
        """Let go of what the log holds; before its database is closed."""
        ...
