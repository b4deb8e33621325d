"""Activities being sent: each is kept until its answer has arrived, and is sent again when a socket is lost.

No I/O: no socket, no waiting, the time is passed in. Sending again is safe because every activity has its own
``message_id`` or an ``idempotency_key``, created once when it is added.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from buzz_client.codec import Frame
from buzz_client.errors import BuzzError, SendRefused

# Errors after which the server may accept the same activity later.
_PASSING = frozenset({"rate_limited", "unavailable", "internal"})
_PASSING_PAUSE_SECONDS = 0.5
# An error that repeats this often for the same activity will not go away.
_MAX_INTERNAL_ERRORS = 5


@dataclass(frozen=True, slots=True)
class Ack:
    """The activity is stored durably. ``duplicate``: an earlier attempt had stored it."""

    id: int
    created_at: str
    duplicate: bool
    message_id: str | None


@dataclass(slots=True, eq=False)
class Parcel:
    """One activity being sent. ``on_wire`` names the connection that it was sent on, if any."""

    ref: int
    data: str | bytes
    message_id: str | None
    answer: asyncio.Future[Ack]
    on_wire: object | None = None
    internal_errors: int = 0


class Outbox:
    """Parcels in the order in which they were added: idle ones to send, sent ones that wait for their answer."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._idle: dict[int, Parcel] = {}
        self._flying: dict[int, Parcel] = {}
        self._paused_until = 0.0

    def __len__(self) -> int:
        return len(self._idle) + len(self._flying)

    def put(self, parcel: Parcel) -> None:
        """Keep a parcel until its answer arrives."""
        self._idle[parcel.ref] = parcel

    def drop(self, parcel: Parcel) -> None:
        """Drop a parcel that no call waits for any more: it is not sent (again)."""
        self._idle.pop(parcel.ref, None)
        self._flying.pop(parcel.ref, None)

    def due(self, now: float, connection: object) -> list[Parcel]:
        """Return what to send now on this connection: the oldest idle ones, as many as the window allows unanswered.

        None while one is unanswered on a connection that is being replaced: if it must be sent again, it comes first.
        """
        moving = any(parcel.on_wire is not connection for parcel in self._flying.values())
        if now < self._paused_until or moving:
            return []
        return list(islice(self._idle.values(), max(0, self._window - len(self._flying))))

    def sent(self, parcel: Parcel, connection: object) -> bool:
        """Mark a parcel as sent on that connection. False: do not send it, because it was dropped or answered since."""
        if self._idle.pop(parcel.ref, None) is None:
            return False
        parcel.on_wire = connection
        self._flying[parcel.ref] = parcel
        return True

    def pause_left(self, now: float) -> float | None:
        """Return the seconds until waiting parcels may be sent; None if none waits for a time."""
        return self._paused_until - now if self._idle and now < self._paused_until else None

    def acked(self, frame: Frame) -> bool:
        """Handle an acknowledgement. Returns whether it was for one of these.

        Raises KeyError, TypeError or ValueError if it cannot be read; the parcel is then kept.
        """
        parcel = self._parcel(frame)
        if parcel is None:
            return False
        ack = _ack(frame, parcel.message_id)
        self.drop(parcel)
        if not parcel.answer.done():
            parcel.answer.set_result(ack)
        return True

    def refused(self, frame: Frame, now: float) -> bool:
        """Handle a refusal: keep the parcel for later if that may help. Returns whether it was one of these."""
        parcel = self._parcel(frame)
        if parcel is None:
            return False
        code = str(frame.get("code"))
        parcel.internal_errors += code == "internal"
        if code in _PASSING and parcel.internal_errors < _MAX_INTERNAL_ERRORS:
            self._requeue([parcel])
            self._paused_until = max(self._paused_until, now + _pause_seconds(frame.get("retry_after")))
        else:
            self._fail(parcel, SendRefused(code, str(frame.get("message", ""))))
        return True

    def lost(self, connection: object) -> None:
        """Handle a lost connection: its unanswered parcels are sent again on the next one."""
        self._requeue([parcel for parcel in self._flying.values() if parcel.on_wire is connection])

    def end(self, error: BuzzError) -> None:
        """End the session: no more answers will arrive."""
        for parcel in [*self._idle.values(), *self._flying.values()]:
            self._fail(parcel, error)

    def _parcel(self, frame: Frame) -> Parcel | None:
        ref = frame.get("ref")
        if not isinstance(ref, int):
            return None
        # An answer may still arrive on an old socket for a parcel that is to be sent again on the new one.
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


def _pause_seconds(retry_after: object) -> float:
    """Return the pause that the server asks for; a short one if it asks for none, or says something else."""
    given = retry_after if isinstance(retry_after, int | float) and retry_after > 0 else None
    return _PASSING_PAUSE_SECONDS if given is None else float(given)


def _ack(frame: Frame, message_id: str | None) -> Ack:
    return Ack(int(frame["id"]), str(frame["created_at"]), bool(frame.get("duplicate", False)), message_id)
