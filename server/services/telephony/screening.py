"""Call screening: decides whether a call rings, and records it when it has ended."""

from __future__ import annotations

import structlog

from protocol.activity import Activity, NewActivity, Party
from protocol.call import call_of, message_id
from protocol.errors import ApiError, ErrorCode
from protocol.lookup import call_tokens
from protocol.screening import IncomingCall, Outcome, lookup_of
from protocol.twiml import RejectReason
from server.services.activities import Activities
from server.services.calls.call_log import CallLog
from server.services.telephony.trust import Trust
from storage.errors import StorageError
from storage.telephony.calls import CallRow

_GONE: tuple[ErrorCode, ...] = (ErrorCode.NOT_FOUND, ErrorCode.UNPROCESSABLE)
"""The caller has left the directory meanwhile; or the app has recorded the call from another caller."""

_logger = structlog.get_logger("screening")


class Screening:
    """The rules of call screening."""

    def __init__(self, trust: Trust, calls: CallLog, activities: Activities) -> None:
        self._trust = trust
        self._calls = calls
        self._activities = activities

    async def ring(self, call: IncomingCall, idempotency_token: str | None) -> int | RejectReason:
        """Return the person whose app rings, or why the call is rejected. The called person gets a live event for both.

        A phone never rings without a decision, and a caller does not wait for a slow database. But "not in service" is
        only for callers who were found to be untrusted: if that is unknown, the caller hears "busy" and may try again.
        """
        try:
            answer, in_time = await self._trust.verdict(lookup_of(call), call_tokens(idempotency_token, call.call_sid))
        except (StorageError, ApiError) as error:
            _logger.warning("call rejected as busy: cannot look up trust now", reason=str(error))
            return RejectReason.BUSY
        if answer.trusted and answer.user_id is not None:
            return answer.user_id
        return RejectReason.REJECTED if in_time else RejectReason.BUSY

    async def ended(self, call: IncomingCall, outcome: Outcome) -> None:
        """Store the outcome of a call that rang, and record it from the person or company of its decision.

        A call that was connected stays connected. Raises StorageUnavailable, and ApiError as ``Activities.post``.
        """
        row = await self._trust.of_ended(call_of(lookup_of(call), call_tokens(None, call.call_sid)))
        if row is None or not row.trusted:
            return
        activity = await self._record(row, outcome)
        if activity is None:
            await self._calls.end(row, outcome.name, outcome.call_time)
        else:
            # The app may have reported it first, with another outcome.
            await self._calls.recorded(row, activity)

    async def _record(self, row: CallRow, outcome: Outcome) -> Activity | None:
        if row.recorded_from is None:
            return None
        new = _activity(row, Party.of_key(row.recorded_from), outcome)
        try:
            return (await self._activities.post(row.person_id, new, limited=False)).activity
        except ApiError as error:
            if error.code not in _GONE:
                raise
            _logger.info("call kept without an activity", reason=error.code.value)
            return None


def _activity(row: CallRow, caller: Party, outcome: Outcome) -> NewActivity:
    return NewActivity(
        type=outcome.type,
        receivable_type="person",
        receivable_id=row.person_id,
        sendable_type=caller.type.value,
        sendable_id=caller.id,
        call_time=outcome.call_time,
        message_id=message_id(row.call_id),
    )
