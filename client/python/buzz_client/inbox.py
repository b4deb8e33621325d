"""What has come in and was not yet asked for: a bounded buffer with a cursor. Pure; the waiting is in `delivery`.

The cursor is the id of the newest activity taken in. Every source (a socket since its hello, a page over HTTP since its
id) delivers without a gap from a start that is not above the cursor; so "take in what is newer than the cursor" keeps
the sequence whole, without a repeat, whatever sources overlap.

A full buffer passes over what comes and remembers how far that went: it is *behind* until pages have filled the hole.
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
        """Whether the next frame should wait or be passed over."""
        return len(self._waiting) >= self._limit

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._waiting

    @property
    def behind(self) -> bool:
        """Whether something newer than the cursor was passed over."""
        return self._passed_over_to > (self.cursor or 0)

    def begin(self, epoch: str | None, cursor: int | None) -> None:
        """Start at a position; whatever waited is dropped, for it belongs to another history."""
        self._waiting.clear()
        self._passed_over_to = 0
        self.epoch = epoch
        self.cursor = cursor

    def follow_new_source(self) -> None:
        """A new session delivers from the cursor on: what was passed over comes again by itself."""
        self._passed_over_to = 0

    def put(self, activities: Iterable[Activity]) -> None:
        """Take in what is newer than the cursor. Whole frames: the buffer exceeds its limit by one frame at most."""
        for activity in activities:
            if activity.id > (self.cursor or 0):
                self._waiting.append(activity)
                self.cursor = activity.id

    def pass_over(self, activities: Iterable[Activity]) -> None:
        """Do not take these in, but remember that they are there."""
        for activity in activities:
            self._passed_over_to = max(self._passed_over_to, activity.id)

    def take(self) -> Activity | None:
        """The oldest one waiting, or None."""
        return self._waiting.popleft() if self._waiting else None
