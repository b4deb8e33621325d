"""Pings: when a session's peer is pinged, and when it has been silent for too long.

The methods are called by the session's timer, with its wire and the time. Times are the event loop's, in seconds.
"""

from __future__ import annotations

from server.live.wire import Wire


class LifeSigns:
    """The pings of one session: one every ``every`` seconds, each must be answered within ``timeout`` seconds.

    At most one ping is unanswered. Everything that the peer sends answers it, not only a pong (:attr:`Wire.heard`).
    """

    __slots__ = ("_every", "_next_ping", "_pinged_at", "_timeout")

    def __init__(self, every: float, timeout: float) -> None:
        self._every = every
        self._timeout = timeout
        self._next_ping = 0.0
        self._pinged_at: float | None = None

    def start(self, now: float, phase: float) -> None:
        """Schedule the first ping after ``phase`` of an interval (0 to 1), to spread the pings of all sessions."""
        self._next_ping = now + self._every * phase

    def are_missing(self, wire: Wire, now: float) -> bool:
        """Return whether a ping was not answered in time, by a peer that could have answered it."""
        if self._pinged_at is None or wire.heard or now - self._pinged_at < self._timeout:
            return False
        # A peer that does not read can't see the ping: that is slow, not dead. If it is dead, TCP ends the connection.
        if wire.paused:
            return False
        # The ping may still wait in the kernel's buffer. While the peer reads what is before it, it is alive, and the
        # ping's time begins again at each check.
        if wire.still_taking():
            self._pinged_at = now
            return False
        return True

    def ping(self, wire: Wire, now: float) -> None:
        """Send the next ping if it is due, the last one was answered and there is room for it."""
        # A full socket also ends the wait for an answer: after it has drained, the next ping gets its whole time.
        if wire.heard or wire.paused:
            self._pinged_at = None
        if now >= self._next_ping and not wire.paused and self._pinged_at is None:
            # The next multiple of the interval after now: pings keep their phase, and missed ones are not sent later.
            self._next_ping += self._every * max(1, (now - self._next_ping) // self._every + 1)
            self._pinged_at = now
            wire.ping()

    def due(self, wire: Wire, now: float) -> float:
        """Return when to check again: at the next ping, or when the answer to the last one is overdue."""
        # A full socket is checked once in an interval, so that thousands of stalled sessions do not keep the timers
        # busy.
        if wire.paused:
            return now + self._every
        if self._pinged_at is None:
            return self._next_ping
        # Not at a time in the past: a scheduled ping is late while the last one waits for its answer.
        overdue = self._pinged_at + self._timeout
        return self._next_ping if now < self._next_ping < overdue else overdue
