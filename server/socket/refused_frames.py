"""Counts the sockets that clients closed with 1009: a frame of the server was larger than the client reads.

Such a client reconnects with the same cursor, gets the same frame and closes again, for ever. The server cannot mend
that, so the metrics and the log say it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from time import monotonic

import structlog

from protocol.frames import MAX_BATCH_BYTES, MIN_BATCH_BYTES
from server.live.session import Session
from server.runtime.limits import TokenBucket

LINES_A_SECOND, LINES_AT_ONCE = 0.1, 10
"""How many lines are logged: a release of an app that cannot read our frames would fill the log."""
_ADVICE = (
    f"the client must read larger frames, or ask for smaller ones: max_frame_bytes in hello, {MIN_BATCH_BYTES} to "
    f"{MAX_BATCH_BYTES}. One activity alone can be larger: see docs/protocol.md, Sizes"
)
_logger = structlog.get_logger("socket")


class RefusedFrames:
    """One for each node. ``closes``: by what the refused frame was for, ``catch_up`` or ``live``."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self.closes: Counter[str] = Counter(catch_up=0, live=0)
        self._lines = TokenBucket(LINES_A_SECOND, LINES_AT_ONCE)
        self._now = now

    def refused(self, session: Session) -> None:
        """Count that a session's client closed with 1009, and log it unless that was logged too often lately."""
        largest = session.largest_frame
        self.closes["live" if largest.live else "catch_up"] += 1
        if self._lines.take(self._now()):
            return
        _logger.warning(
            "a client closed with 1009: a frame was too large for it",
            session=session.id,
            person_id=session.caller.person_id,
            device_id=session.device_id,
            subprotocol=session.codec.name,
            started_after=session.started_after,
            largest_frame_bytes=largest.bytes,
            max_frame_bytes=session.max_frame_bytes,
            advice=_ADVICE,
        )
