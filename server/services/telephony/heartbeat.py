"""The heartbeat: gives the person a number if they have none, and says when each of the app's lists changed.

A number from the pool is in the answer. One that must be bought is in a later one, and in ``number.given``.
"""

from __future__ import annotations

from collections.abc import Callable

from protocol import phone
from protocol.events import EventName
from protocol.heartbeat import Heartbeat, heartbeat
from server.live.events import Events
from server.services.activities import Activities
from server.services.telephony.numbers import Numbers
from storage.database import Database
from storage.directory.reads import last_times


def tell_number(events: Events) -> Callable[[int, str], None]:
    """Return the function that sends ``number.given`` to a person's devices after a number was bought for them."""

    def tell(person_id: int, e164: str) -> None:
        country_code, number = phone.split(e164)
        events.publish((person_id,), EventName.NUMBER_GIVEN, {"country_code": country_code, "number": number})

    return tell


class Heartbeats:
    """Answers heartbeats."""

    def __init__(self, database: Database, activities: Activities, numbers: Numbers) -> None:
        self._database = database
        self._activities = activities
        self._numbers = numbers

    async def beat(self, person_id: int) -> Heartbeat:
        """Return the answer for one person. Raises StorageUnavailable."""
        number = await self._numbers.of(person_id)
        times = await last_times(self._database, person_id)
        return heartbeat(times, await self._activities.last_id(person_id), number)
