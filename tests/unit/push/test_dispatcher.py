"""The dispatcher: pushes begin a few at a time, so that nothing else waits for them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from protocol.push import WakeFor
from server.push import dispatcher as dispatcher_module
from server.push.dispatcher import AT_ONCE, BETWEEN_SECONDS, NEW, TURNS_BETWEEN, Dispatcher
from server.push.outcome import PushAnswer, PushResult, Wake
from server.push.rules import PushTimes
from storage.errors import StorageUnavailable
from storage.push import claims
from storage.push.registrations import NewRegistration, PushStore, Registration
from storage.sqlite.database import SqliteDatabase
from tests.harness.sqlite import migrated_sqlite


class Service:
    """Answers in the turn of the event loop after a push has begun; counts how many begin in each turn."""

    def __init__(self) -> None:
        self.turn = 0
        self.begun: Counter[int] = Counter()
        self.taken = asyncio.Condition()
        self.answers: list[PushResult] = []
        """The results of the first pushes; the others are accepted."""

    def lane(self, registration: Registration) -> str:
        return "one"

    def turns(self) -> None:
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.turns)

    async def send(self, wake: Wake) -> PushAnswer:
        self.begun[self.turn] += 1
        async with self.taken:
            self.taken.notify_all()
        return PushAnswer(self.answers.pop(0) if self.answers else PushResult.ACCEPTED)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await migrated_sqlite(tmp_path / "buzz.db")
    try:
        yield opened
    finally:
        await opened.close()


async def registered(database: SqliteDatabase, count: int) -> list[Registration]:
    store = PushStore(database)
    return [
        await store.register(NewRegistration(person, "phone", "fcm", f"token {person}", "{}", 1, 0, 1, 1, 0))
        for person in range(1, count + 1)
    ]


async def all_begun(dispatcher: Dispatcher, service: Service, rows: list[Registration]) -> None:
    """Offer a message to each, wait until all have begun, and stop."""
    for row in rows:
        assert dispatcher.offer(Wake(row, WakeFor.MESSAGE, 5))
    async with asyncio.timeout(60), service.taken:
        await service.taken.wait_for(lambda: service.begun.total() == len(rows))
    await dispatcher.stop()


@pytest.mark.parametrize(("seconds_a_turn", "turns_between"), [(0.0, TURNS_BETWEEN), (2 * BETWEEN_SECONDS, 1)])
async def test_a_few_pushes_begin_in_one_turn_of_the_event_loop_and_the_next_after_others(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, seconds_a_turn: float, turns_between: int
) -> None:
    """If the loop is so busy that its turns are long, the next ones begin a turn later."""
    rows, service = await registered(database, 10 * NEW), Service()
    monkeypatch.setattr(dispatcher_module, "perf_counter", lambda: service.turn * seconds_a_turn)
    dispatcher = Dispatcher(database, {"fcm": service}, PushTimes(10, 900), lambda: 1_000)
    service.turns()
    await all_begun(dispatcher, service, rows)
    assert max(service.begun.values()) <= AT_ONCE
    turns = sorted(service.begun)
    assert min(later - turn for turn, later in pairwise(turns)) == turns_between


async def test_results_are_stored_and_an_address_that_is_gone_is_deleted(database: SqliteDatabase) -> None:
    rows, service = await registered(database, 4), Service()
    service.answers = [PushResult.GONE]
    dispatcher = Dispatcher(database, {"fcm": service}, PushTimes(10, 900), lambda: 1_000)
    await all_begun(dispatcher, service, rows)
    left = [row for person in range(1, 5) for row in await PushStore(database).of_person(person)]
    assert [(row.pushed_id, row.lease_until_ms) for row in left] == [(5, 0)] * 3
    assert not len(dispatcher), "a push whose result is stored is still known"


async def test_a_result_that_cannot_be_stored_is_let_go(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease runs out; then it is found again."""
    [row], service = await registered(database, 1), Service()

    async def fails(*arguments: Any) -> int:
        raise StorageUnavailable("the disk is full")

    monkeypatch.setattr(claims, "finish", fails)
    dispatcher = Dispatcher(database, {"fcm": service}, PushTimes(10, 900), lambda: 1_000)
    assert dispatcher.offer(Wake(row, WakeFor.MESSAGE, 5))
    async with asyncio.timeout(60), service.taken:
        await service.taken.wait_for(lambda: service.begun.total() == 1)
    await dispatcher.stop()
    assert not dispatcher.knows(row.key)
    [stored] = await PushStore(database).of_person(1)
    assert stored.pushed_id == 0
    assert stored.lease_until_ms > 0


async def test_what_was_leased_too_long_ago_is_not_sent(database: SqliteDatabase) -> None:
    """The process stood still between the lease and the attempt: another node may have sent it meanwhile."""
    [row], service = await registered(database, 1), Service()
    dispatcher = Dispatcher(database, {"fcm": service}, PushTimes(10, 900), lambda: 1_000, lease_seconds=0)
    missed: list[bool] = []
    dispatcher.missed = lambda: missed.append(True)
    assert dispatcher.offer(Wake(row, WakeFor.MESSAGE, 5))
    assert dispatcher.knows(row.key)
    async with asyncio.timeout(60):
        while dispatcher.knows(row.key):  # noqa: ASYNC110 - nothing tells when it was let go
            await asyncio.sleep(0)
    assert not service.begun
    assert missed, "nobody looks for it again"
    assert (await PushStore(database).of_person(1))[0].pushed_id == 0
    await dispatcher.stop()


async def test_what_was_leased_begins_even_if_the_service_turns_out_to_be_slow(database: SqliteDatabase) -> None:
    rows, service = await registered(database, NEW), Service()
    service.answers = [PushResult.UNKNOWN] * AT_ONCE  # it has few slots from then on
    dispatcher = Dispatcher(database, {"fcm": service}, PushTimes(10, 900), lambda: 1_000)
    await all_begun(dispatcher, service, rows)
    assert not dispatcher._slots._taken, "a slot was not given back"
    assert not [row for person in range(1, NEW + 1) for row in await PushStore(database).of_person(person)
                if row.lease_until_ms]  # fmt: skip


async def test_second_attempts_are_leased_one_by_one(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies has sent what it has leased, as far as anybody knows: after a second attempt none follows."""
    rows, service, sizes = await registered(database, 9), Service(), list[int]()
    take = claims.take

    async def noted(database: SqliteDatabase, wanted: list[claims.PushClaim], *more: Any) -> set[tuple[int, str, str]]:
        sizes.append(len(wanted))
        return await take(database, wanted, *more)

    monkeypatch.setattr(claims, "take", noted)
    dispatcher = Dispatcher(database, {"fcm": service}, PushTimes(10, 900), lambda: 1_000)
    for number, row in enumerate(rows):
        assert dispatcher.offer(Wake(row._replace(attempts=int(4 <= number < 7)), WakeFor.MESSAGE, 5))
    async with asyncio.timeout(60), service.taken:
        await service.taken.wait_for(lambda: service.begun.total() == len(rows))
    await dispatcher.stop()
    assert sizes == [4, 1, 1, 1, 2]
