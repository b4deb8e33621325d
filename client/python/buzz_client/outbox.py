"""Activities on their way to the log: each is kept until its answer has come, and goes out again when a socket is lost.

Pure: no socket, no waiting, the time is handed in. Sending again is safe because every activity carries what makes it
idempotent (its own ``message_id``, or an ``idempotency_key``), made once when it is put in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from buzz_client.codec import Frame
from buzz_client.errors import BuzzError, SendRefused

# What the server may well take a moment later.
_PASSING = frozenset({"rate_limited", "unavailable", "internal"})
_PASSING_PAUSE_SECONDS = 0.5
# A fault that meets the same activity this often will meet it again.
_MAX_INTERNAL_ERRORS = 5


@dataclass(frozen=True, slots=True)
class Ack:
    """The activity is durable. ``duplicate``: it had been stored before, by an earlier try."""

    id: int
    created_at: str
    duplicate: bool
    message_id: str | None


@dataclass(slots=True, eq=False)
class Parcel:
    """One activity on its way. ``on_wire`` names the connection it went out by, if any."""

    ref: int
    data: str | bytes
    message_id: str | None
    answer: asyncio.Future[Ack]
    on_wire: object | None = None
    internal_errors: int = 0


class Outbox:
    """Parcels in the order they were put in: idle ones that should go out, flying ones that wait for their answer."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._idle: dict[int, Parcel] = {}
        self._flying: dict[int, Parcel] = {}
        self._paused_until = 0.0

    def __len__(self) -> int:
        return len(self._idle) + len(self._flying)

    def put(self, parcel: Parcel) -> None:
        """Keep a parcel until its answer comes."""
        self._idle[parcel.ref] = parcel

    def drop(self, parcel: Parcel) -> None:
        """Nobody waits for this one any more: it does not go out (again)."""
        self._idle.pop(parcel.ref, None)
        self._flying.pop(parcel.ref, None)

    def due(self, now: float) -> list[Parcel]:
        """What should go out now: the oldest idle ones, no more than the window lets be unanswered."""
        if now < self._paused_until:
            return []
        return list(islice(self._idle.values(), max(0, self._window - len(self._flying))))

    def sent(self, parcel: Parcel, connection: object) -> bool:
        """This one goes out by that connection now. False: it must not, as it was dropped or answered since."""
        if self._idle.pop(parcel.ref, None) is None:
            return False
        parcel.on_wire = connection
        self._flying[parcel.ref] = parcel
        return True

    def pause_left(self, now: float) -> float | None:
        """Seconds until what waits may go out; None when nothing waits for the clock."""
        return self._paused_until - now if self._idle and now < self._paused_until else None

    def acked(self, frame: Frame) -> bool:
        """The server has stored one. Returns whether it was one of these."""
        parcel = self._parcel(frame)
        if parcel is None:
            return False
        self.drop(parcel)
        if not parcel.answer.done():
            parcel.answer.set_result(_ack(frame, parcel.message_id))
        return True

    def refused(self, frame: Frame, now: float) -> bool:
        """The server refused one: keep it for later if that may help. Returns whether it was one of these."""
        parcel = self._parcel(frame)
        if parcel is None:
            return False
        code = str(frame.get("code"))
        parcel.internal_errors += code == "internal"
        if code in _PASSING and parcel.internal_errors < _MAX_INTERNAL_ERRORS:
            self._requeue([parcel])
            self._paused_until = max(
                self._paused_until, now + float(frame.get("retry_after") or _PASSING_PAUSE_SECONDS)
            )
        else:
            self._fail(parcel, SendRefused(code, str(frame.get("message", ""))))
        return True

    def lost(self, connection: object) -> None:
        """This connection is gone: what was unanswered on it goes out again by the next one."""
        self._requeue([parcel for parcel in self._flying.values() if parcel.on_wire is connection])

    def end(self, error: BuzzError) -> None:
        """The session is over: nothing more will be answered."""
        for parcel in [*self._idle.values(), *self._flying.values()]:
            self._fail(parcel, error)

    def _parcel(self, frame: Frame) -> Parcel | None:
        ref = frame.get("ref")
        if not isinstance(ref, int):
            return None
        # An answer may still come by an old socket for what is to go out again by the new one.
        return self._flying.get(ref) or self._idle.get(ref)

    def _requeue(self, parcels: Iterable[Parcel]) -> None:
        for parcel in parcels:
            parcel.on_wire = None
            self._flying.pop(parcel.ref, None)
            self._idle[parcel.ref] = parcel
        self._idle = dict(sorted(self._idle.items()))

    def _fail(self, parcel: Parcel, error: BuzzError) -> None:
        self.drop(parcel)
        if not parcel.answer.done():
            parcel.answer.set_exception(error)


def _ack(frame: Frame, message_id: str | None) -> Ack:
    return Ack(int(frame["id"]), str(frame["created_at"]), bool(frame.get("duplicate", False)), message_id)
