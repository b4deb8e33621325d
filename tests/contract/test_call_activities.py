"""What storage promises of the activities that calls make (storage/telephony/call_activities.py), on every backend."""

from __future__ import annotations

from protocol.activity import ActivityType
from storage.contract import ActivityLog, Posting, Range, Stored
from storage.database import Database
from storage.telephony import call_activities

JANE, BOB = 456, 7
KEY = "twilio:CA1"
CONNECTED = ActivityType.incoming_call_connected_insecure


def call(kind: ActivityType, seconds: int | None = None) -> Posting:
    return Posting(kind, BOB, JANE, JANE, seconds, None, None, 1_720_000_000_000, KEY, b"0" * 16)


async def test_a_missed_call_becomes_a_connected_one_once(database: Database, log: ActivityLog) -> None:
    (stored,) = (await log.append([call(ActivityType.incoming_call_missed)])).results
    assert isinstance(stored, Stored)
    changed = await call_activities.connect(database, JANE, KEY, CONNECTED, 42)
    assert await call_activities.connect(database, JANE, KEY, CONNECTED, 7) is None, "it is connected already"
    assert await call_activities.connect(database, BOB, KEY, CONNECTED, 7) is None, "not the author's"
    assert changed is not None
    assert (changed.id, changed.type, changed.call_time) == (stored.activity.id, CONNECTED, 42)
    [([read], _)] = await log.read([Range((JANE,))])
    assert read == changed
    assert (await log.state()).amendments == 1, "who keeps the missed call in memory can see that it was none"
