"""Call screening: whom a call rings, and what is recorded of it when it has ended."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from protocol.activity import Activity, ActivityType, NewActivity, Party, PartyType, posted
from protocol.errors import ApiError, ErrorCode
from protocol.lookup import call_tokens
from protocol.screening import IncomingCall, Outcome, lookup_of
from server.live.events import EventName, Events
from server.services.activities import Activities
from server.services.trust import Trust
from storage import call_activities
from storage.callers import Ask, Callers, CallerStore
from storage.database import Database
from storage.errors import StorageError

_log = structlog.get_logger("screening")


class Screening:
    """The rules. ``amended`` is told of an activity that was put right, before anybody is shown the old one again."""

    def __init__(
        self,
        database: Database,
        trust: Trust,
        callers: CallerStore,
        activities: Activities,
        events: Events,
        amended: Callable[[Activity], None],
    ) -> None:
        self._database = database
        self._trust = trust
        self._callers = callers
        self._activities = activities
        self._events = events
        self._amended = amended

    async def ring(self, call: IncomingCall, idempotency_token: str | None) -> int | None:
        """The person whose app rings; None: the call is rejected. The called person is told live either way."""
        try:
            answer = await self._trust.trust(lookup_of(call), call_tokens(idempotency_token, call.call_sid))
        except (StorageError, ApiError) as error:
            # Nobody rings on a guess, and a caller is not kept waiting for a database.
            _log.warning("call rejected: trust can not be looked up now", reason=str(error))
            return None
        return answer.user_id if answer.trusted else None

    async def ended(self, call: IncomingCall, outcome: Outcome) -> None:
        """Record the call, once, if its caller is a person or a company. A call that was connected stays connected."""
        found = await self._known(call)
        caller = _party(found)
        if found.person_id is None or caller is None:
            return
        key = f"twilio:{call.call_sid}"
        try:
            await self._activities.post(
                found.person_id, _activity(caller, found.person_id, outcome), key, limited=False
            )
        except ApiError as error:
            if error.code is not ErrorCode.UNPROCESSABLE:
                raise
            # Recorded before, with another outcome.
            await self._put_right(found.person_id, caller, key, outcome)

    async def _put_right(self, person_id: int, caller: Party, key: str, outcome: Outcome) -> None:
        if not outcome.is_connected:
            return
        activity = await call_activities.connect(
            self._database, person_id, key, ActivityType[outcome.type], outcome.call_time or 0
        )
        if activity is not None:
            self._amended(activity)
            self._events.publish((person_id, caller.key), EventName.ACTIVITY_CHANGED, posted(activity))

    async def _known(self, call: IncomingCall) -> Callers:
        lookup = lookup_of(call)
        (found,) = await self._callers.look_up([Ask(lookup.called, lookup.caller, lookup.caller_person)])
        return found


def _party(found: Callers) -> Party | None:
    if found.known.people:
        return Party(PartyType.PERSON, found.known.people[0].id)
    if found.known.companies:
        return Party(PartyType.COMPANY, found.known.companies[0].id)
    return None


def _activity(caller: Party, person_id: int, outcome: Outcome) -> NewActivity:
    return NewActivity(
        type=outcome.type,
        receivable_type="person",
        receivable_id=person_id,
        sendable_type=caller.type.value,
        sendable_id=caller.id,
        call_time=outcome.call_time,
    )
