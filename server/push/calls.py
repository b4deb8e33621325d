"""Wakes devices for a call: at once, before every message that waits, and no longer than the phone rings."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Final

import structlog

from protocol.errors import ApiError
from protocol.push import WakeFor
from server.push.outcome import CALL_SECONDS, PushAnswer, PushProvider, PushResult, Refused, Wake
from server.push.rules import to_ring
from server.runtime.batcher import Batcher
from server.runtime.slots import SlotQueue, Slots
from server.runtime.tasks import Tasks
from storage.database import Database
from storage.errors import StorageError
from storage.push.claims import Key, Ringing, ring
from storage.push.registrations import PushStore, Registration

MAX_RINGING: Final = 4_096
"""Calls and their pushes that are under way; further calls ring on live sessions only."""
SLOTS: Final = 128
MOST: Final = 1_024
SLOW_SECONDS: Final = 2.0
RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
MAX_CALLS_READ: Final = 256
_logger = structlog.get_logger("push")


class UrgentPushes:
    """Sends calls and tests, with slots of their own, so that no backlog of messages is before them.

    ``shared``: other nodes use the database. One of them may be asked about the same call, so a row says who pushes it.
    """

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, PushProvider],
        count: Callable[[str, str], None],
        refused: Refused,
        *,
        shared: bool,
    ) -> None:
        self._database = database
        self._store = PushStore(database)
        self._providers = providers
        self._count = count
        self._refused = refused
        self._shared = shared
        self._slots: Slots[str] = Slots(SLOTS, SLOTS // 2, SLOTS // 4, MOST)
        self._queue = SlotQueue(self._slots)
        self._whom: Batcher[Ringing, list[Registration]] = Batcher(
            "whom calls wake", self._of_calls, max_batch=MAX_CALLS_READ, max_waiting=MAX_RINGING
        )
        self._tasks = Tasks()

    def ring(self, person_id: int, call_id: str) -> None:
        """Wake a person's devices for a call that rings now. Never waits."""
        if self._providers and len(self._tasks) < MAX_RINGING:
            self._tasks.start("push for a call", self._ring(person_id, call_id))

    async def stop(self) -> None:
        """Wait briefly for the pushes under way."""
        await self._tasks.cancel(2)
        await self._whom.close()

    async def once(self, wake: Wake) -> PushAnswer:
        """Send one push, once, and return how that ended. Raises StorageError."""
        provider, kind = self._providers.get(wake.registration.kind), wake.registration.kind
        if provider is None:
            return PushAnswer(PushResult.REFUSED, f"{kind} is not configured on this server")
        answer = await provider.send(wake)
        self._count(kind, answer.result.value)
        if answer.result is PushResult.GONE:
            await self._store.remove_gone(wake.registration)
        elif answer.result is PushResult.REFUSED:
            self._refused(wake.registration, answer)
        return answer

    async def _ring(self, person_id: int, call_id: str) -> None:
        try:
            registrations = await self._whom.call((person_id, call_id))
        except (StorageError, ApiError) as error:
            _logger.warning("cannot find out whom a call wakes", reason=str(error))
            return
        ends_at = monotonic() + CALL_SECONDS
        for each in registrations:
            wake = Wake(each._replace(call_id=call_id), WakeFor.CALL, 0)
            self._tasks.start("push for a call", self._send(wake, ends_at))

    async def _of_calls(self, calls: Sequence[Ringing]) -> list[list[Registration]]:
        """Return for each call the registrations that this node wakes for it; one query for all of them."""
        of_person: dict[int, list[Registration]] = defaultdict(list)
        for each in await self._store.of_parties({person for person, _ in calls}):
            if each.kind in self._providers:
                of_person[each.person_id].append(each)
        found = [to_ring(of_person[person]) for person, _ in calls]
        return await self._claimed(calls, found) if self._shared else found

    async def _claimed(self, calls: Sequence[Ringing], found: list[list[Registration]]) -> list[list[Registration]]:
        """Return those that no other node has claimed for the same call."""
        left = {call for call, registrations in zip(calls, found, strict=True) if registrations}
        mine: dict[Ringing, set[Key]] = {}
        while left:
            one_each = {person: (person, call_id) for person, call_id in sorted(left, reverse=True)}
            mine |= await ring(self._database, list(one_each.values()))
            left.difference_update(one_each.values())
        return [
            [each for each in registrations if each.key in mine.get(call, ())]
            for call, registrations in zip(calls, found, strict=True)
        ]

    async def _send(self, wake: Wake, ends_at: float) -> None:
        lane = self._providers[wake.registration.kind].lane(wake.registration)
        for wait in (*RETRY_SECONDS, None):
            try:
                async with asyncio.timeout(ends_at - monotonic()):
                    await self._queue.take(lane)
            except TimeoutError:  # the phone rings no more
                return
            answer = None
            started = monotonic()
            try:
                answer = await self.once(wake)
            except StorageError as error:
                _logger.warning("the result of a push can't be stored", reason=str(error))
                return
            finally:
                quick = answer is not None and answer.result is not PushResult.UNKNOWN
                self._slots.heard(lane, quick=quick and monotonic() - started < SLOW_SECONDS)
                self._queue.give_back(lane)
            failed = answer.result in (PushResult.UNAVAILABLE, PushResult.UNKNOWN)
            if not failed or wait is None or monotonic() + wait > ends_at:
                return
            await asyncio.sleep(wait)


def trial_of(registration: Registration) -> Wake:
    """Return a push that only shows whether the device can be woken."""
    return Wake(registration, WakeFor.TEST, 0)
