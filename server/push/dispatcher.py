"""Sends pushes that are due: leased in batches, each service independently, so that one that is down delays no other.

A registration is leased just before it is sent, when its service has room. Until then only memory knows of it: it stays
due, and any node may find and send it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Final, NamedTuple

import structlog

from protocol.errors import ApiError
from server.push.outcome import PushAnswer, PushProvider, PushResult, Refused, Wake
from server.push.rules import PushTimes, after, wait_seconds
from server.runtime.batcher import Batcher
from server.runtime.slots import Slots
from server.runtime.tasks import Tasks
from storage.database import Database
from storage.errors import StorageError
from storage.push import claims
from storage.push.claims import Key, PushMarks

QUICK: Final = 128
NEW: Final = 16
SLOW: Final = 2
MOST: Final = 1_024
"""Pushes under way: to a service that answers quickly, to one not known yet, to a slow one, and in all."""
AT_ONCE: Final = 2
"""Pushes that begin in one turn of the event loop: encrypting and posting one takes 0.2 ms."""
TURNS_BETWEEN: Final = 3
"""Turns of the event loop from one beginning to the next: other work takes several turns, and has most of them."""
BETWEEN_SECONDS: Final = 0.002
"""After so long the next ones begin: the turns of a busy loop are long, and pushes have their share of it."""
SLOW_SECONDS: Final = 2.0
MAX_QUEUED: Final = 20_000
"""Pushes that wait in memory for one service. The others stay due, and are found later."""
MAX_LANES: Final = 4_096
"""Services with pushes that wait in memory."""
LEASE_SECONDS: Final = 60.0
STOP_SECONDS: Final = 5.0
_MAX_PAUSE_SECONDS: Final = 60.0
_logger = structlog.get_logger("push")


@dataclass
class _Lane:
    """What waits for one service, and since when it fails."""

    waiting: deque[Wake] = field(default_factory=deque)
    room: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    paused_until: float = 0.0
    runs: bool = False


class _Finished(NamedTuple):
    """How an attempt ended: with new marks; None: the address is gone, and so is the registration."""

    lease: str
    key: Key
    marks: PushMarks | None


class Dispatcher:
    """Owns every running attempt. ``providers`` are the configured ones, by kind.

    ``lease_seconds``: after so long another node may send what this one has leased; an attempt takes less.
    ``count(kind, result)`` is called with each result; ``refused(registration, answer)`` if a service does not take a
    push.
    """

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, PushProvider],
        times: PushTimes,
        now_ms: Callable[[], int],
        count: Callable[[str, str], None] = lambda kind, result: None,
        refused: Refused = lambda registration, answer: None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._database = database
        self._providers = providers
        self._times = times
        self._now_ms = now_ms
        self._count = count
        self._refused = refused
        self._lease_seconds = lease_seconds
        self.missed: Callable[[], None] = lambda: None
        """Called if something that is due was let go, and must be found again."""
        self._lanes: dict[str, _Lane] = {}
        self._known: set[Key] = set()
        self._slots: Slots[str] = Slots(QUICK, NEW, SLOW, MOST)
        self._attempts = Tasks()
        self._finishing: Batcher[_Finished, None] = Batcher("push results", self._finish, max_batch=512)
        self._stopping = False

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, key: Key) -> bool:
        """Return whether a push to this registration waits or is under way."""
        return key in self._known

    def offer(self, wake: Wake) -> bool:
        """Queue a push that is due. False: there is no room, and it must be found again later."""
        provider, key = self._providers.get(wake.registration.kind), wake.registration.key
        if self._stopping or provider is None or key in self._known:
            return True
        name = provider.lane(wake.registration)
        lane = self._lanes.get(name)
        if lane is None:
            if len(self._lanes) >= MAX_LANES:
                return False
            lane = self._lanes[name] = _Lane()
        if len(lane.waiting) >= MAX_QUEUED:
            return False
        lane.waiting.append(wake)
        self._known.add(key)
        if not lane.runs:
            lane.runs = True
            self._attempts.start(f"push lane {name}", self._serve(name, lane))
        return True

    async def stop(self) -> None:
        """Begin no more attempts; wait briefly for the running ones, then store what is known of the others."""
        self._stopping = True
        await self._attempts.cancel(STOP_SECONDS)
        await self._finishing.close()

    # --- one service ------------------------------------------------------------------------------------------------

    async def _serve(self, name: str, lane: _Lane) -> None:
        try:
            while lane.waiting and not self._stopping:
                await asyncio.sleep(max(0.0, lane.paused_until - monotonic()))
                free = 1 if lane.failures else self._slots.free(name)
                if free < 1 or (lane.failures and self._slots.free(name) < 1):
                    await self._until_room(lane)
                    continue
                await self._begin(name, lane, _next(lane.waiting, free))
        finally:
            for wake in lane.waiting:
                self._known.discard(wake.registration.key)
            lane.runs = False
            self._lanes.pop(name, None)

    async def _until_room(self, lane: _Lane) -> None:
        lane.room.clear()
        try:
            async with asyncio.timeout(1):  # the room may be made by another lane
                await lane.room.wait()
        except TimeoutError:
            pass

    async def _begin(self, name: str, lane: _Lane, wakes: Sequence[Wake]) -> None:
        # Before anything is awaited: what is leased must begin, however the service answers meanwhile.
        for _ in wakes:
            self._slots.take(name)
        lease, now_ms, until = secrets.token_hex(8), self._now_ms(), monotonic() + self._lease_seconds
        try:
            wanted = [claims.claim_of(wake.registration) for wake in wakes]
            until_ms = now_ms + round(1_000 * self._lease_seconds)
            taken = await claims.take(self._database, wanted, lease, now_ms, until_ms)
        except StorageError as error:
            _logger.warning("pushes can't be leased", reason=str(error), pushes=len(wakes))
            taken = set()
            self.missed()
            await asyncio.sleep(1)
        begun = 0
        for wake in wakes:
            key = wake.registration.key
            if key in taken:
                self._attempts.start("push", self._attempt(name, lane, wake, lease, until))
                begun += 1
                if begun % AT_ONCE == 0:
                    await _give_way()
            else:
                self._slots.give_back(name)
                self._known.discard(key)
        if lane.failures:
            await self._until_room(lane)  # one attempt at a time finds out whether the service is back

    async def _attempt(self, name: str, lane: _Lane, wake: Wake, lease: str, until: float) -> None:
        registration, started = wake.registration, monotonic()
        if started >= until:  # this process stood still: another node may have sent it
            self._slots.give_back(name)
            lane.room.set()
            self._known.discard(registration.key)
            self.missed()
            return
        answer = PushAnswer(PushResult.UNKNOWN, "stopped")
        try:
            answer = await self._providers[registration.kind].send(wake)
            self._heard(name, lane, answer, monotonic() - started)
        except Exception:  # an error with one push must not stop all others
            _logger.exception("push could not be sent", kind=registration.kind)
            answer = PushAnswer(PushResult.REFUSED, "an error of this server, see its log")
        finally:
            self._slots.give_back(name)
            lane.room.set()
            self._store(wake, answer, lease)

    def _heard(self, name: str, lane: _Lane, answer: PushAnswer, seconds: float) -> None:
        failed = answer.result in (PushResult.UNAVAILABLE, PushResult.UNKNOWN)
        self._slots.heard(name, quick=seconds < SLOW_SECONDS and answer.result is not PushResult.UNKNOWN)
        if not failed:
            lane.failures = 0
            return
        if monotonic() >= lane.paused_until:  # attempts that began together count once
            lane.failures += 1
            asked = answer.retry_after_seconds
            pause = wait_seconds(lane.failures - 1, asked)
            lane.paused_until = monotonic() + min(pause, _MAX_PAUSE_SECONDS)

    # --- results ------------------------------------------------------------------------------------------------------

    def _store(self, wake: Wake, answer: PushAnswer, lease: str) -> None:
        """Queue a result: many are stored by one statement. Never waits, so that it needs no task of its own."""
        registration = wake.registration
        self._count(registration.kind, answer.result.value)
        if answer.result is PushResult.REFUSED:
            self._refused(registration, answer)
        gone = answer.result is PushResult.GONE
        marks = None if gone else after(wake, answer, self._now_ms(), self._times)
        try:
            stored = self._finishing.submit(_Finished(lease, registration.key, marks))
        except ApiError as error:
            self._was_stored(registration.key, error)
        else:
            stored.add_done_callback(
                lambda done: self._was_stored(registration.key, None if done.cancelled() else done.exception())
            )

    def _was_stored(self, key: Key, error: BaseException | None) -> None:
        self._known.discard(key)
        if error is not None:  # the lease runs out, and the push is sent once more
            _logger.warning("the result of a push can't be stored", reason=str(error))

    async def _finish(self, results: Sequence[_Finished]) -> Sequence[None]:
        await claims.finish(self._database, [(each.lease, each.marks) for each in results if each.marks is not None])
        for each in results:
            if each.marks is None:
                await claims.delete(self._database, each.lease, each.key)
        return [None] * len(results)


async def _give_way() -> None:
    started = perf_counter()
    for _ in range(TURNS_BETWEEN):
        await asyncio.sleep(0)
        if perf_counter() - started > BETWEEN_SECONDS:
            return


def _next(waiting: deque[Wake], most: int) -> list[Wake]:
    """Take those that are leased together. One whose first attempt nobody knows the end of is leased alone.

    If this process dies, everything that it has leased counts as sent: for a second attempt that is the last one. So
    what is leased and not sent yet must be little.
    """
    wakes = [waiting.popleft()]
    while len(wakes) < most and waiting and not (wakes[0].registration.attempts or waiting[0].registration.attempts):
        wakes.append(waiting.popleft())
    return wakes
