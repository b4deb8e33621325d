"""Activities that have arrived and were not requested yet: a bounded buffer with a cursor. `delivery` waits on it.

The cursor is the id of the newest activity that was added. Every source (a socket since its hello, a page over HTTP
since its id) delivers without a gap from a start that is not above the cursor; so the rule "add what is newer than the
cursor" keeps the sequence complete and without repeats, even if sources overlap.

A full buffer skips what arrives and keeps the last skipped id: it is *behind* until pages have filled the gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from buzz_client.activity import Activity


class Inbox:
    """Activities in id order, each once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Activity] = deque()
        self._passed_over_to = 0
        self.epoch: str | None = None
        self.cursor: int | None = None

    @property
    def full(self) -> bool:
        """Whether the next frame must wait or be skipped."""
        return len(self._waiting) >= self._limit

    @property
    def empty(self) -> bool:
        """Whether no activity waits."""
        return not self._waiting

    @property
    def behind(self) -> bool:
        """Whether something newer than the cursor was skipped."""
        return self._passed_over_to > (self.cursor or 0)

    def begin(self, epoch: str | None, cursor: int | None) -> None:
        """Start at a position; waiting activities are dropped, because they belong to another history."""
        self._waiting.clear()
        self._passed_over_to = 0
        self.epoch = epoch
        self.cursor = cursor

    def follow_new_source(self) -> None:
        """Note that a new session delivers from the cursor on, so that skipped activities arrive again."""
        self._passed_over_to = 0

    def put(self, activities: Iterable[Activity]) -> None:
        """Add what is newer than the cursor. Whole frames: the buffer exceeds its limit by one frame at most."""
        for activity in activities:
            if activity.id > (self.cursor or 0):
                self._waiting.append(activity)
                self.cursor = activity.id

    def pass_over(self, activities: Iterable[Activity]) -> None:
        """Skip these, but note that they exist."""
        for activity in activities:
            self._passed_over_to = max(self._passed_over_to, activity.id)

    def take(self) -> Activity | None:
        """Return the oldest waiting activity, or None."""
        return self._waiting.popleft() if self._waiting else None
