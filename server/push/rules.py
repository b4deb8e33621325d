"""The rules of push: which activities wake a person, whether a push is due, and what its result changes. No I/O."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

from protocol.activity import Activity, ActivityType
from protocol.push import PushKind, WakeFor
from server.push.outcome import PushAnswer, PushResult, Wake
from storage.push.claims import PushMarks
from storage.push.registrations import Registration

MOST_UNANSWERED: Final = 2
"""Pushes that a device may leave unanswered; then none is sent until it was heard of."""
MAX_UNKNOWN: Final = 2
"""Attempts at one push whose results are unknown; after them it counts as sent, so that it comes at most twice."""
MAX_FAILURES: Final = 6
"""Attempts at one push; then Buzz gives up until there is a newer activity."""
MAX_WAIT_SECONDS: Final = 300.0
MAX_RETRY_AFTER_SECONDS: Final = 3_600.0
UNKNOWN_WAIT_SECONDS: Final = 1.0
_CLEARED: Final = (PushKind.WEBPUSH, PushKind.FCM)
"""Kinds that can be told silently that there is nothing to show any more."""


@dataclass(frozen=True)
class PushTimes:
    """``confirm_seconds``: for a device with a session to confirm. ``silence_seconds``: for one that was pushed."""

    confirm_seconds: float
    silence_seconds: float


class Waiting(NamedTuple):
    """The newest activity that waits for a device, and when it was stored."""

    id: int
    created_at_ms: int


class News(NamedTuple):
    """What a device has not confirmed: the newest activity that waits for it, and whether its person has read some."""

    waiting: Waiting | None = None
    was_read: bool = False


class PushDecision(NamedTuple):
    """What to do for a registration now: send ``wake``, or look again at ``again_at_ms``, or neither."""

    wake: Wake | None = None
    again_at_ms: int | None = None


NOTHING: Final = PushDecision()


def wakes(registration: Registration, activity: Activity) -> bool:
    """Return whether the device's person wants to be woken for this kind of activity."""
    kind = ActivityType(activity.type)
    if kind is ActivityType.chat_message:
        return bool(registration.wake_messages)
    if kind is ActivityType.chat_reaction_emoji:
        return bool(registration.wake_reactions)
    return kind is ActivityType.incoming_call_missed and bool(registration.wake_calls)


def may_be_own(activity: Activity, person_id: int) -> bool:
    """Return whether the person may have written a company's activity: only the row's author says so."""
    return activity.sender < 0 and activity.receiver != person_id


def can_be_due(registration: Registration, now_ms: int, times: PushTimes, *, after_read: bool) -> bool:
    """Return whether it is worth reading what waits. ``after_read``: the person has read something meanwhile."""
    if registration.kind == PushKind.APNS_VOIP or registration.lease_until_ms > now_ms:
        return False
    if registration.failures and (registration.again_at_ms or 0) > now_ms:
        return False
    if not registration.silent:
        return True
    return (after_read and _can_clear(registration)) or (
        registration.silent < MOST_UNANSWERED and _silent_until_ms(registration, times) <= now_ms
    )


def due(registration: Registration, news: News, now_ms: int, times: PushTimes, *, has_session: bool) -> PushDecision:
    """Return what to do, given what the device has not confirmed."""
    r, waiting = registration, news.waiting
    if waiting is None:
        # A device with a session hears of the read by itself.
        if news.was_read and _can_clear(r) and not has_session:
            return PushDecision(Wake(r, WakeFor.MESSAGE, r.pushed_id, clear=True))
        return NOTHING
    if waiting.id <= r.given_up_id or r.silent >= MOST_UNANSWERED:
        return NOTHING
    if r.silent and now_ms < _silent_until_ms(r, times):
        return PushDecision(again_at_ms=_silent_until_ms(r, times))
    if not r.silent and waiting.id <= max(r.received_id, r.pushed_id):
        return NOTHING
    confirmed_by_ms = waiting.created_at_ms + round(times.confirm_seconds * 1_000)
    # A time in the far future was written by a fast clock: waiting for it would be waiting for ever.
    if has_session and now_ms < confirmed_by_ms <= now_ms + round(times.confirm_seconds * 1_000):
        return PushDecision(again_at_ms=confirmed_by_ms)
    return PushDecision(Wake(r, WakeFor.MESSAGE, waiting.id))


def after(wake: Wake, answer: PushAnswer, now_ms: int, times: PushTimes) -> PushMarks:
    """Return what a finished attempt leaves in the row. ``attempts`` was counted when the row was leased."""
    r = wake.registration
    attempts = r.attempts + 1
    if answer.result is PushResult.ACCEPTED or (answer.result is PushResult.UNKNOWN and attempts >= MAX_UNKNOWN):
        return _accepted(wake, answer.result, now_ms, times)
    unchanged = _marks(r, answer.result.value)
    failures = r.failures + 1
    if answer.result is PushResult.UNKNOWN:
        again_at_ms = now_ms + round(UNKNOWN_WAIT_SECONDS * 1_000)
        return unchanged._replace(failures=failures, attempts=attempts, again_at_ms=again_at_ms)
    if answer.result is PushResult.REFUSED or failures >= MAX_FAILURES:
        return unchanged._replace(
            failures=0, given_up_id=wake.mark, again_at_ms=None, cleared=int(wake.clear or r.cleared)
        )
    wait = wait_seconds(failures, answer.retry_after_seconds)
    return unchanged._replace(failures=failures, again_at_ms=now_ms + round(wait * 1_000))


def settled(registration: Registration, now_ms: int, times: PushTimes, mark: int) -> PushMarks:
    """Return the marks of a push whose sender died twice: it counts as sent."""
    return _accepted(Wake(registration, WakeFor.MESSAGE, mark), PushResult.UNKNOWN, now_ms, times)


def wait_seconds(failures: int, retry_after_seconds: float | None, spread: float | None = None) -> float:
    """Return how long to wait after so many failures: what the service asks for, or twice as long each time."""
    if retry_after_seconds is not None:
        return min(retry_after_seconds, MAX_RETRY_AFTER_SECONDS)
    return min(2.0**failures, MAX_WAIT_SECONDS) * (0.75 + 0.5 * (random.random() if spread is None else spread))


def _accepted(wake: Wake, result: PushResult, now_ms: int, times: PushTimes) -> PushMarks:
    r = wake.registration
    unchanged = _marks(r, result.value)._replace(failures=0, attempts=0, again_at_ms=None)
    if wake.clear:
        return unchanged._replace(cleared=1)
    unanswered = r.silent + 1
    again_at_ms = now_ms + round(times.silence_seconds * 1_000) if unanswered < MOST_UNANSWERED else None
    return unchanged._replace(
        pushed_id=max(wake.mark, r.pushed_id),
        pushed_at_ms=now_ms,
        received_at_push=r.received_id,
        unanswered=unanswered,
        answered_at_ms=None,
        cleared=0,
        given_up_id=0,
        again_at_ms=again_at_ms,
    )


def _marks(r: Registration, result: str) -> PushMarks:
    return PushMarks(
        *r.key, r.pushed_id, r.pushed_at_ms, r.received_at_push, r.unanswered, r.answered_at_ms, r.cleared, r.failures,
        r.given_up_id, r.attempts, result, r.again_at_ms,
    )  # fmt: skip


def _can_clear(r: Registration) -> bool:
    return r.kind in _CLEARED and r.pushed_at_ms is not None and not r.cleared


def _silent_until_ms(r: Registration, times: PushTimes) -> int:
    return (r.pushed_at_ms or 0) + round(times.silence_seconds * 1_000)


def to_ring(registrations: Collection[Registration]) -> list[Registration]:
    """Return those that a call wakes: each device by ``apns_voip`` if it has that, and otherwise by all it has."""
    by_voip = {r.device_id for r in registrations if r.kind == PushKind.APNS_VOIP and r.wake_calls}
    return [
        r for r in registrations
        if r.wake_calls and (r.kind == PushKind.APNS_VOIP or r.kind != PushKind.APNS or r.device_id not in by_voip)
    ]  # fmt: skip
