"""A session is a cursor over the log, and a state machine by the table in :mod:`server.live.session_states`.

Everything its person is a party to with an id in (start, cursor] has been written to its socket, in id order, without a
gap and without a repeat. It is *live* (its cursor is the hub's head, and each commit moves it) or *behind* (its cursor
is its own, and the catch-up readers move it by reading the log, until the ring has the rest). A session whose socket is
full becomes *behind*: nothing is queued for it. When the socket has drained, the hub serves the session again.

The hub, the catch-up readers, the socket and the presence ask for the state and call methods; they assign nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import structlog

from protocol.codec import Codec
from protocol.errors import CloseCode
from protocol.events import EventName
from protocol.frames import DEFAULT_BATCH_BYTES, CaughtUp, Event, ServerFrame
from server.auth.contract import Caller
from server.auth.refusals import TOLD, RefusalReason
from server.live.life_signs import LifeSigns
from server.live.ring import Entry, frames
from server.live.session_states import TRANSITIONS, IllegalTransition, SessionState, Trigger
from server.live.timers import Timers
from server.live.wire import Wire

TOKEN_WARNING_SECONDS = 60.0
CLOSE_SECONDS = 5.0
"""How long a peer may take to answer our close frame before the connection is dropped."""
FIRST_PAGE_BYTES, LARGEST_PAGE_BYTES = 128 * 1024, 640 * 1024
"""How much is read of the log at a time: about 100 and 500 activities, if they are small."""
WRITE_BYTES = 128 * 1024
"""A commit's frames are written together until they are so large; then the socket is asked whether it takes more."""
_logger = structlog.get_logger("session")
# For speed at each push and each session: looking a member up in its enum takes longer than comparing it.
_OPENING = SessionState.OPENING
_BEHIND = SessionState.BEHIND
_LIVE = SessionState.LIVE
_CLOSED = SessionState.CLOSED
_OPENED = Trigger.OPENED
_CAUGHT_UP = Trigger.CAUGHT_UP
_CLOSE = Trigger.CLOSED


class LargestFrame(NamedTuple):
    """The largest frame of activities that a session was sent; ``live``: as a push, not to catch up."""

    bytes: int
    live: bool


NO_FRAME = LargestFrame(0, live=False)


class Session:
    """One authenticated socket of one device of one person."""

    __slots__ = (
        "_backlog_until", "_due", "_expiry_told", "_life_signs", "_now_ms", "_on_closed", "_strict", "_timers",
        "caller", "codec", "cursor", "device_id", "id", "largest_frame", "max_frame_bytes", "opened_at_ms", "order",
        "outbox", "page_bytes", "parties", "received_id", "ring_from", "started_after", "state", "wire",
    )  # fmt: skip

    def __init__(
        self,
        id: str,
        caller: Caller,
        device_id: str | None,
        codec: Codec,
        wire: Wire,
        parties: tuple[int, ...],
        *,
        timers: Timers,
        now_ms: Callable[[], int],
        life_signs: LifeSigns,
        on_closed: Callable[[Session], None],
        strict: bool = False,
        page_bytes: int = FIRST_PAGE_BYTES,
        max_frame_bytes: int = DEFAULT_BATCH_BYTES,
    ) -> None:
        """``parties``: the keys whose activity it gets: the person's own and their companies'.

        ``now_ms`` is the wall clock, by which tokens expire. ``strict``: raise IllegalTransition; otherwise it is
        logged, and closes only this session. ``max_frame_bytes``: the largest frame with several activities.
        """
        self.id = id
        self.caller = caller
        self.device_id = device_id
        self.codec = codec
        self.wire = wire
        self.parties = parties
        self.cursor = 0
        self.started_after = 0
        self.max_frame_bytes = max_frame_bytes
        self.largest_frame = NO_FRAME
        self.ring_from = 0  # with several nodes: the ring has everything of its parties only after this id
        self.order = 0  # among the person's sessions on all nodes: the later it was opened, the higher
        self.state = _OPENING
        self.page_bytes = page_bytes
        self.received_id = 0
        self.outbox: list[bytes] = []
        self.opened_at_ms = now_ms()
        self._backlog_until: int | None = None
        self._on_closed = on_closed
        self._strict = strict
        self._timers = timers
        self._now_ms = now_ms
        self._life_signs = life_signs
        self._due = 0.0
        self._expiry_told = False

    # --- states -------------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether it has everything up to the hub's head."""
        return self.state is _LIVE

    @property
    def closed(self) -> bool:
        """Whether it is closed and gets nothing more."""
        return self.state is _CLOSED

    def opened(self, head: int, after: int | None) -> None:
        """Begin delivery after the activity ``after``, at most at the hub's ``head``; None: at the head."""
        if self._move(_OPENED):
            self.cursor = self.started_after = head if after is None else min(after, head)
            self._backlog_until = None if after is None else head

    def listed(self) -> None:
        """Note that it was put on the catch-up list."""
        self._move(Trigger.LISTED)

    def taken(self) -> None:
        """Note that a catch-up reader has taken it from the list."""
        self._move(Trigger.TAKEN)

    def caught_up(self, head: int) -> None:
        """Make it live, because it has everything up to the hub's head: each commit moves it from now on."""
        if self._move(_CAUGHT_UP):
            self.reach(head)

    def committed(self, previous_head: int, frames: Sequence[tuple[int, bytes]]) -> None:
        """Write a commit's frames, (last id, bytes) each, of one that begins at ``previous_head``.

        If the socket gets full before the end, the session is behind, with its cursor after what was written.
        """
        if self.state is not _LIVE:
            self._illegal(Trigger.COMMITTED)
            return
        if len(frames) == 1 and not self.outbox and not self.wire.paused:  # nearly always, and for thousands in a turn
            self.cursor, frame = frames[0]
            if len(frame) > self.largest_frame.bytes:
                self.largest_frame = LargestFrame(len(frame), live=True)
            self.wire.write([frame])
            return
        self.cursor = previous_head
        waiting_bytes = 0
        for last, frame in frames:
            if not waiting_bytes and self.wire.paused:
                self._move(Trigger.PAUSED)
                return
            self.outbox.append(frame)
            self.cursor = last
            waiting_bytes += len(frame)
            if len(frame) > self.largest_frame.bytes:
                self.largest_frame = LargestFrame(len(frame), live=True)
            if waiting_bytes >= WRITE_BYTES:
                self.flush()
                waiting_bytes = 0
        self.flush()

    def missed(self, head: int) -> None:
        """Make it behind, because the hub missed commits: it has everything up to ``head``, the rest is in the log."""
        if self._move(Trigger.MISSED):
            self.cursor = head

    def close(self, code: int, reason: str = "") -> None:
        """Leave the hub and send the close frame; the peer's answer ends the connection, or else a timer does.

        Does nothing if it is closed already.
        """
        if self.state is not _CLOSED:
            self._move(_CLOSE)
            self.flush()
            self.wire.close(code, reason)
            self._on_closed(self)
            self._ask_at(self._timers.now() + CLOSE_SECONDS)

    def ended(self) -> None:
        """Leave the hub, because its connection has ended. Does nothing if it is closed already."""
        if self.state is not _CLOSED:
            self._move(_CLOSE)
            self._on_closed(self)

    def _move(self, trigger: Trigger) -> bool:
        """Go to the next state; False (or IllegalTransition) if the trigger is not allowed in this one."""
        following = TRANSITIONS[self.state].get(trigger)
        if following is None:
            return self._illegal(trigger)
        self.state = following
        return True

    def _illegal(self, trigger: Trigger) -> bool:
        """Raise in development.

        In production close this session: its client reconnects and continues from its cursor.
        """
        error = IllegalTransition(self.state, trigger)
        if self._strict:
            raise error
        _logger.error("illegal transition of a session", session=self.id, state=self.state.value, trigger=trigger.value)
        self.close(CloseCode.SERVER_FAULT, "server fault")
        return False

    # --- what it is told ----------------------------------------------------------------------------------------

    def stamp(self, clock: int) -> None:
        """Set its order among the person's sessions on all nodes: the cluster's clock when it was opened."""
        self.order = clock

    def follow(self, parties: tuple[int, ...]) -> None:
        """Set its parties after its person's membership changed."""
        self.parties = parties

    def whole_from(self, id: int) -> None:
        """Note that after this id the ring has everything of its parties; earlier activities are in the log."""
        self.ring_from = id

    def received(self, id: int) -> None:
        """Note that its device has stored everything up to ``id``."""
        self.received_id = max(self.received_id, id)

    def page_taken(self, whole: bool) -> None:
        """Use larger pages if its socket accepted a whole one, else smaller ones: the rest must be read again."""
        if whole:
            self.page_bytes = min(self.page_bytes * 2, LARGEST_PAGE_BYTES)
        else:
            self.page_bytes = max(self.page_bytes // 2, FIRST_PAGE_BYTES // 4)

    # --- delivery -----------------------------------------------------------------------------------------------

    def deliver(self, entries: Sequence[Entry]) -> bool:
        """Write entries newer than the cursor to the socket of a session that is behind, until the socket is full.

        Moves the cursor with what was written. False if the socket was full before the end.
        """
        return all(self.hand_over(last, frame) for last, frame in frames(self.codec, entries, self.max_frame_bytes))

    def hand_over(self, last: int, frame: bytes) -> bool:
        """Write one frame of activities, the newest of which is ``last``; False and nothing if the socket is full."""
        if self.state is not _BEHIND:
            return self._illegal(Trigger.HANDED_OVER)
        if self.wire.paused:
            return False
        self.flush_with(frame)
        self.cursor = last
        if len(frame) > self.largest_frame.bytes:
            self.largest_frame = LargestFrame(len(frame), live=False)
        return True

    def reach(self, id: int) -> None:
        """Move the cursor to ``id``, because there is nothing more for this session up to it."""
        self.cursor = max(self.cursor, id)
        if self._backlog_until is not None and self.cursor >= self._backlog_until:
            self._backlog_until = None
            self.put(CaughtUp(self.cursor))
            self.flush()

    def put(self, frame: ServerFrame) -> None:
        """Queue a frame for the next flush."""
        self.outbox.append(self.codec.frame(frame))

    def flush(self) -> None:
        """Write the queued frames, in one write."""
        if self.outbox:
            frames, self.outbox = self.outbox, []
            self.wire.write(frames)

    def flush_with(self, frame: bytes) -> None:
        """Write the queued frames and one more, in one write."""
        if self.outbox:
            self.outbox.append(frame)
            self.flush()
        else:
            self.wire.write([frame])

    def tell(self, frame: ServerFrame) -> None:
        """Write a frame now."""
        self.flush_with(self.codec.frame(frame))

    def event(self, frame: bytes) -> None:
        """Send a live event; it is dropped if the socket is full, because it is not stored anywhere."""
        if not self.wire.paused:
            self.flush_with(frame)

    def concerns(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return those of the entries that this session's person is a party to."""
        apart = frozenset(self.parties).isdisjoint
        return [entry for entry in entries if not apart(entry.parties)]

    # --- time ---------------------------------------------------------------------------------------------------

    def start(self, phase: float) -> None:
        """Begin the pings, the first after ``phase`` of an interval (0 to 1), and check the token's expiry."""
        now = self._timers.now()
        self._life_signs.start(now, phase)
        self._ask_at(self._next(now))

    def on_timer(self, now: float) -> float | None:
        """Check the peer's silence and the token's expiry, and ping; see :class:`server.live.timers.Timed`."""
        # Timers can't be cancelled. Each new deadline adds one, so an older one may come first: only the one at
        # ``_due`` counts. All others, and those of a connection that has ended, are ignored and not renewed.
        if self.wire.lost or now < self._due:
            return None
        if self.state is _CLOSED:
            self.wire.abort()
        elif self._token_seconds_left() <= 0:
            self.close(CloseCode.UNAUTHORIZED, TOLD[RefusalReason.EXPIRED])
        elif self._life_signs.are_missing(self.wire, now):
            self.close(CloseCode.NO_LIFE_SIGN, "no sign of life")
        else:
            self._warn()
            self._life_signs.ping(self.wire, now)
            self._due = self._next(now)
            return self._due
        return None

    def renewed(self, caller: Caller) -> None:
        """Replace the token by a new one of the same person, which may expire sooner."""
        self.caller = caller
        self._expiry_told = False
        self._ask_at(self._next(self._timers.now()))

    def _ask_at(self, when: float) -> None:
        """Set the only valid deadline from now on."""
        self._due = when
        self._timers.add(when, self)

    def _token_seconds_left(self) -> float:
        return (self.caller.expires_at_ms - self._now_ms()) / 1000

    def _next(self, now: float) -> float:
        """Return the next deadline: of the pings, of the warning before the token expires, or of its expiry."""
        left = self._token_seconds_left()
        token = now + (left if self._expiry_told else left - TOKEN_WARNING_SECONDS)
        # Never now or before: a warning may be due already, and a timer in the past would fire again and again.
        return max(min(self._life_signs.due(self.wire, now), token), now + _LEAST_SECONDS)

    def _warn(self) -> None:
        left = self._token_seconds_left()
        if left <= TOKEN_WARNING_SECONDS and not self._expiry_told:
            self._expiry_told = True
            self.tell(Event(EventName.TOKEN_EXPIRING, {"seconds": max(0, round(left))}))


_LEAST_SECONDS = 0.01
