"""Calls that are reported twice, by the app and by Twilio's callback, in any order.

They make one activity, which is corrected if a missed call turns out to be connected, and one outcome in the list of
calls.

The activity's id, place and time stay; a call that was connected stays connected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog
from msgspec.structs import asdict

from protocol.activity import Activity, ActivityType, NewActivity
from protocol.answers import posted
from protocol.call import names_a_call
from protocol.events import EventName
from server.live.events import Events
from server.runtime.batcher import Batcher
from server.services.calls.call_log import CallLog
from storage.contract import Stored
from storage.database import Database
from storage.errors import StorageError
from storage.telephony import call_activities

_logger = structlog.get_logger("calls")


def call_key(new: NewActivity) -> str | None:
    """Return the idempotency key of a call that is recorded under its message id; None for every other activity."""
    if new.kind.is_chat or new.message_id is None or not names_a_call(new.message_id):
        return None
    return f"call:{new.message_id.lower()}"


class CallReport(NamedTuple):
    """``author`` has reported this call, and the log answered with ``stored``."""

    author: int
    new: NewActivity
    key: str
    stored: Stored

    @property
    def connects(self) -> bool:
        """Whether the call is missed in the log, and connected by this report."""
        return self.new.kind.is_connected_call and not ActivityType(self.stored.activity.type).is_connected_call


class CallReports:
    """Processes reports, one after the other.

    ``amended`` gets each corrected activity, before the old one can be shown again.
    """

    def __init__(self, database: Database, calls: CallLog, events: Events, amended: Callable[[Activity], None]) -> None:
        self._database = database
        self._calls = calls
        self._events = events
        self._amended = amended
        self._reports: Batcher[CallReport, Activity] = Batcher("call reports", self._work, max_batch=1)

    def submit(self, report: CallReport) -> asyncio.Future[Activity]:
        """Queue a report; the future gets the activity afterwards, or raises StorageError.

        Raises ApiError(unavailable) if too many wait.
        """
        return self._reports.submit(report)

    async def close(self) -> None:
        """Finish the waiting reports."""
        await self._reports.close()

    async def _work(self, reports: Sequence[CallReport]) -> Sequence[Activity]:
        return [await self._one(report) for report in reports]

    async def _one(self, report: CallReport) -> Activity:
        activity = report.stored.activity
        if report.connects:
            activity = await self._put_right(report) or activity
        if report.new.kind.author_is_receiver:
            await self._list(report.key.partition(":")[2], activity)
        return activity

    async def _put_right(self, report: CallReport) -> Activity | None:
        new = report.new
        activity = await call_activities.connect(
            self._database, report.author, report.key, new.kind, new.call_time or 0
        )
        if activity is not None:
            self._amended(activity)
            parties = activity.sender, activity.receiver
            self._events.publish(parties, EventName.ACTIVITY_CHANGED, asdict(posted(activity)))
        return activity

    async def _list(self, name: str, activity: Activity) -> None:
        """Store the activity's outcome in the list of calls, whichever report came last."""
        try:
            await self._calls.reported(name, activity)
        except StorageError as error:
            _logger.warning("cannot record the end of a call in the list of calls", reason=str(error))
