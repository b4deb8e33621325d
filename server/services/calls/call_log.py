"""The calls of each person: the decision is stored soon after the answer, the outcome when it is known.

Decisions are in memory until they are stored, and for as long as the request can be repeated: so no call is decided
twice, and the end of a call finds its decision, even if it comes at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from protocol import phone
from protocol.activity import Activity, ActivityType, Party, rfc3339
from protocol.call import (
    BlockedCallAnswer,
    Call,
    CallEntry,
    CallerAnswer,
    CallOutcome,
    ReasonAnswer,
    message_id,
    outcome_of,
)
from protocol.errors import ApiError
from protocol.events import EventName
from server.live.events import Events
from server.runtime.batcher import Batcher
from server.services.calls.decisions import Decision
from server.services.calls.recent import Recent
from server.services.telephony_metrics import TelephonyMetrics
from storage.errors import StorageError
from storage.telephony.calls import BARE_REPEAT_MS, TOKEN_REPEAT_MS, CallRow, CallStore, End, NewCall

_MAX_STORED_AT_ONCE: Final = 500
_GATHER_SECONDS: Final = 0.05
"""Pause after a commit of calls. Nobody waits for them, and commits are shared with the people who chat."""

_MAX_UNSTORED: Final = 50_000
_REMEMBERED: Final = 50_000

_logger = structlog.get_logger("calls")


class CallLog:
    """Keeps decisions, notifies the called person's devices, and lists their calls."""

    def __init__(self, calls: CallStore, events: Events, metrics: TelephonyMetrics, now_ms: Callable[[], int]) -> None:
        self._calls = calls
        self._events = events
        self._metrics = metrics
        self._now_ms = now_ms
        self.on_ringing: Callable[[int, str], None] = lambda person_id, call_id: None
        """Called with the person and the id of each call that rings now."""
        self._unstored: Batcher[Decision, None] = Batcher(
            "calls", self._store, max_batch=_MAX_STORED_AT_ONCE, max_waiting=_MAX_UNSTORED
        )
        self._recent: Recent[Decision] = Recent(_REMEMBERED)
        self._storing: dict[tuple[str, str, str], asyncio.Future[None]] = {}

    def remembered(self, call: Call, *, any_verdict: bool = False) -> Decision | None:
        """Return the recent decision on this call, found by its tokens, or else by its pair of numbers.

        For a pair, a different result of the signature check means another call, unless ``any_verdict``.
        """
        found = self._recent.find(_keys(call.called, call.caller, call.tokens), self._now_ms())
        if found is None or call.tokens or any_verdict or found.row.verified == call.verified:
            return found
        return None

    def keep(self, decision: Decision) -> None:
        """Keep a decision, notify the called person, and store it soon."""
        row = decision.row
        keys, now_ms = _keys(row.called, row.caller, decision.tokens), row.created_at_ms
        if decision.tokens:
            self._recent.mark(keys, now_ms, TOKEN_REPEAT_MS, decision)
        self._recent.mark([_pair(row.called, row.caller)], now_ms, BARE_REPEAT_MS, decision)
        if decision.trusted:
            self.on_ringing(row.person_id, row.call_id)
            self._events.publish((row.person_id,), EventName.CALL_RINGING, partial(ringing, decision))
        try:
            storing = self._unstored.submit(decision)
        except ApiError:
            self._count(decision, "lost")
            return
        self._storing[_known(row)] = storing

    async def find(self, call: Call) -> CallRow | None:
        """Return the decision on a call that has a name, from any node. Raises StorageUnavailable."""
        found = self.remembered(call)
        if found is not None:
            return found.row
        return await self._calls.find(call.called or "", call.name, call.caller)

    async def end(self, row: CallRow, outcome: CallOutcome, call_time: int | None) -> None:
        """Store the outcome of a call, unless a better one is stored already. Raises StorageUnavailable."""
        storing = self._storing.get(_known(row))
        if storing is not None:
            await asyncio.wait([storing])
        await self._calls.end(row, End(outcome, call_time))

    async def reported(self, name: str, activity: Activity) -> None:
        """Store the outcome of the call that was recorded under this message id, if it is one of the newest."""
        if self._storing:
            await asyncio.wait(list(self._storing.values()))
        for row in await self._calls.latest(activity.receiver):
            if row.trusted and message_id(row.call_id) == name:
                await self.recorded(row, activity)
                return

    async def recorded(self, row: CallRow, activity: Activity) -> None:
        """Store the outcome of a call according to its activity. Raises StorageUnavailable."""
        await self.end(row, outcome_of(ActivityType(activity.type).name), activity.call_time)

    async def latest(self, person_id: int) -> list[CallEntry]:
        """Return the person's newest 100 calls, the newest first. Raises StorageUnavailable."""
        return [entry(row) for row in await self._calls.latest(person_id)]

    async def blocked(self, person_id: int) -> list[BlockedCallAnswer]:
        """Return the newest 100 calls that did not ring. Raises StorageUnavailable."""
        return [blocked(row) for row in await self._calls.latest(person_id, blocked_only=True)]

    async def close(self) -> None:
        """Store the waiting decisions and outcomes."""
        await self._unstored.close()

    async def _store(self, decisions: Sequence[Decision]) -> Sequence[None]:
        try:
            return await self._record(decisions)
        finally:
            for decision in decisions:
                self._storing.pop(_known(decision.row), None)

    async def _record(self, decisions: Sequence[Decision]) -> Sequence[None]:
        try:
            fresh = await self._calls.record([NewCall(decision.row, decision.tokens) for decision in decisions])
        except StorageError as error:
            _logger.error("calls could not be stored", count=len(decisions), reason=str(error))
            for decision in decisions:
                self._lose(decision)
            return [None] * len(decisions)
        for decision, is_new in zip(decisions, fresh, strict=True):
            self._count(decision, "stored" if is_new else "repeated")
            if is_new and not decision.trusted:
                self._events.publish((decision.row.person_id,), EventName.CALL_BLOCKED, partial(_told, decision.row))
        await asyncio.sleep(_GATHER_SECONDS)
        return [None] * len(decisions)

    def _lose(self, decision: Decision) -> None:
        """Handle decisions that could not be stored.

        A repeat of a blocked call may still store it. A call that rings keeps its decision, and is stored when it has
        ended.
        """
        self._count(decision, "lost")
        if not decision.trusted:
            row = decision.row
            self._recent.forget([*_keys(row.called, row.caller, decision.tokens), _pair(row.called, row.caller)])

    def _count(self, decision: Decision, result: str) -> None:
        (self._metrics.rung if decision.trusted else self._metrics.blocked).add(result)


def _known(row: CallRow) -> tuple[str, str, str]:
    return (row.called, row.call_id, row.caller)


def _pair(called: str | None, caller: str) -> Hashable:
    return (called, caller)


def _keys(called: str | None, caller: str, tokens: tuple[str, ...]) -> list[Hashable]:
    """Return the keys of a call: its tokens, if any, with the pair of numbers; otherwise only the pair.

    So a decision on one caller is never used for another.
    """
    return [(called, caller, token) for token in tokens] or [_pair(called, caller)]


def ringing(decision: Decision) -> dict[str, Any]:
    """Return the data of ``call.ringing``: call-lookup's answer, and the call."""
    row = decision.row
    return {
        "call_id": row.call_id,
        "message_id": decision.message_id,
        "caller_id": row.caller_id,
        "country_code": row.country_code,
        "phone_number": row.phone_number,
        "number": _number(row),
        "trusted_by": [{"type": kind, "id": id} for kind, id in msgspec.json.decode(row.reasons)],
        "certainty": row.certainty,
        "recorded_from": None if row.recorded_from is None else msgspec.to_builtins(_recorded_from(row)),
        "verified": row.verified,
        **msgspec.to_builtins(decision.known),
    }


def _told(row: CallRow) -> dict[str, Any]:
    """Return the data of ``call.blocked``."""
    found: dict[str, Any] = msgspec.to_builtins(blocked(row))
    return found


def blocked(row: CallRow) -> BlockedCallAnswer:
    """Return a call that did not ring, as in ``GET blocked`` and ``call.blocked``."""
    return BlockedCallAnswer(
        id=row.person_id,
        call_id=row.call_id,
        message_id=message_id(row.call_id),
        caller_id=row.caller_id,
        country_code=row.country_code,
        phone_number=row.phone_number,
        number=_number(row),
        reason=row.reason,  # type: ignore[arg-type]
        verified=row.verified,  # type: ignore[arg-type]
        created_at=rfc3339(row.created_at_ms),
    )


def entry(row: CallRow) -> CallEntry:
    """Return a call as in ``GET calls``."""
    return CallEntry(
        call_id=row.call_id,
        message_id=message_id(row.call_id),
        outcome=row.outcome,  # type: ignore[arg-type]
        reason=row.reason,  # type: ignore[arg-type]
        caller_id=row.caller_id,
        country_code=row.country_code,
        phone_number=row.phone_number,
        number=_number(row),
        trusted_by=_trusted_by(row),
        certainty=row.certainty,  # type: ignore[arg-type]
        recorded_from=_recorded_from(row),
        verified=row.verified,  # type: ignore[arg-type]
        call_time=row.call_time,
        created_at=rfc3339(row.created_at_ms),
    )


def _number(row: CallRow) -> str | None:
    """Return the caller's number, E.164; callers without one stay as they were given."""
    return row.caller if phone.parse_e164(row.caller) else None


def _trusted_by(row: CallRow) -> list[ReasonAnswer]:
    return [ReasonAnswer(kind, id) for kind, id in msgspec.json.decode(row.reasons)]


def _recorded_from(row: CallRow) -> CallerAnswer | None:
    if row.recorded_from is None:
        return None
    party = Party.of_key(row.recorded_from)
    return CallerAnswer(party.type.value, party.id)
