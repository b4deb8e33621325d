"""The heartbeat over HTTP: the seed's six fields, and exactly one number, whatever races."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from server.runtime.clock import wall_clock_ms
from server.runtime.telemetry import Metrics
from server.services.telephony.numbers import Bought, Numbers, NumberUnavailable, fictional_blocks
from server.services.telephony_metrics import TelephonyMetrics
from storage.migrate import migrate
from storage.sqlite.database import SqliteDatabase
from storage.telephony.numbers import NumberState, NumberStore
from tests.harness.node import Tokens, node_process
from tests.harness.people import rows
from tests.harness.watch import Watch
from tests.integration.telephony.conftest import ANN, BOB, BOBS_PHONE, JANE, Buzz, Clock, bearer, open_buzz

PATH = "/apps/buzz/heartbeat"
FIELDS = {
    "last_contact_update",
    "last_trust_request",
    "last_company_update",
    "last_company_updated",
    "last_coworker_update",
    "last_user_update",
    "last_key_update",
    "last_activity_id",
}


async def test_the_seeds_fields(buzz: Buzz) -> None:
    status, answer = await buzz.get(PATH, buzz.person(JANE))
    assert status == 200
    assert answer.pop("number") == {"country_code": "1", "number": "2385551629"}
    assert set(answer) == FIELDS
    assert answer["last_activity_id"] == "0"
    assert answer["last_user_update"] == "2024-06-21T20:00:00Z"
    assert answer["last_trust_request"] is None


async def test_the_newest_activity_is_named(buzz: Buzz) -> None:
    activity = {
        "type": "chat_message",
        "sendable_type": "person",
        "sendable_id": BOB,
        "receivable_type": "person",
        "receivable_id": JANE,
        "message": "ciphertext",
        "message_id": "6a1f0f0e-6b1e-4a53-9d53-4f8f0b5f8f01",
    }
    async with buzz.client.post("/apps/buzz/activity", json=activity, headers=buzz.person(BOB)) as response:
        stored = (await response.json())["data"]
    for person in (JANE, BOB):
        _, answer = await buzz.get(PATH, buzz.person(person))
        assert answer["last_activity_id"] == str(stored["id"])
    _, answer = await buzz.get(PATH, buzz.person(ANN))
    assert answer["last_activity_id"] == "0"


async def test_heartbeats_at_once_give_exactly_one_number(buzz: Buzz) -> None:
    answers = await asyncio.gather(*(buzz.get(PATH, buzz.person(person)) for person in [BOB, ANN] * 10))
    given = [answer["number"]["number"] for _, answer in answers]
    assert len(set(given[::2])) == len(set(given[1::2])) == 1
    assert given[0] != given[1]
    stored = rows(buzz.data_dir, "SELECT person_id FROM buzz_number WHERE person_id IS NOT NULL")
    assert sorted(stored) == [(BOB,), (ANN,), (JANE,)]


async def test_a_number_stays_after_a_restart(data_dir: Path, clock: Clock) -> None:
    seen = []
    for _ in range(2):
        async with open_buzz(data_dir, clock) as buzz:
            seen.append((await buzz.get(PATH, buzz.person(BOB)))[1]["number"])
    assert seen[0] == seen[1]


async def test_a_given_number_rings_its_person(buzz: Buzz) -> None:
    _, answer = await buzz.get(PATH, buzz.person(BOB))
    assert (await buzz.trust(number=answer["number"]["number"]))["user_id"] == BOB


async def test_an_empty_pool_never_fails_the_heartbeat(
    data_dir: Path, clock: Clock, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.services.telephony.numbers.fictional_blocks", lambda: iter(()))
    async with open_buzz(data_dir, clock) as buzz:
        for _ in range(3):
            status, answer = await buzz.get(PATH, buzz.person(BOB))
            assert (status, answer["number"]) == (200, None)
    assert sum("no number is available" in entry["event"] for entry in watch.log) == 1  # once a minute


async def test_without_a_persons_token(buzz: Buzz) -> None:
    assert (await buzz.get(PATH, {}))[0] == 401
    assert (await buzz.get(PATH, buzz.service))[0] == 403


def test_fictional_numbers_are_of_many_area_codes_and_never_doubled() -> None:
    blocks = list(fictional_blocks())
    every = [e164 for block in blocks for e164 in block]
    assert len(blocks) > 300
    assert len(set(every)) == len(every) == 100 * len(blocks)
    assert all(e164[5:10] == "55501" and len(e164) == 12 for e164 in every)


class Seller:
    """A provider that sells what it is told to, fails as it is told to, and remembers every order."""

    def __init__(self, *numbers: str) -> None:
        self.stock = list(numbers)
        self.sold: dict[str, Bought] = {}
        self.lose_the_answer = False
        self.hang = False
        self.asked = asyncio.Event()

    async def find(self, allocation_id: str) -> Bought | None:
        return self.sold.get(allocation_id)

    async def buy(self, allocation_id: str) -> Bought:
        if not self.stock:
            raise NumberUnavailable("sold out")
        self.asked.set()
        if self.hang:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        bought = Bought(self.stock.pop(0), f"PN{len(self.sold)}")
        assert allocation_id not in self.sold, "bought twice"
        self.sold[allocation_id] = bought
        if self.lose_the_answer:
            raise TimeoutError
        return bought


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[NumberStore]:
    database = await SqliteDatabase.open(tmp_path / "buzz.db")
    await migrate(database)
    yield NumberStore(database)
    await database.close()


def numbers(store: NumberStore, clock: Clock, seller: Seller) -> Numbers:
    return Numbers(store, TelephonyMetrics(Metrics()), clock, provider=seller)


async def bought(node: Numbers, person: int = JANE) -> str | None:
    """The number that a second heartbeat names, when what the first one began is done."""
    await node.of(person)
    await node.purchases()
    return await node.of(person)


async def test_a_provider_is_asked_once_whatever_races(store: NumberStore, clock: Clock) -> None:
    seller = Seller("+13035550101", "+13035550102")
    # Two nodes: each with a service of its own on the one store.
    nodes = [numbers(store, clock, seller), numbers(store, clock, seller)]
    assert await asyncio.gather(*(node.of(JANE) for node in nodes * 5)) == [None] * 10, "nobody waits for a purchase"
    for node in nodes:
        await node.purchases()
    assert len(seller.sold) == 1
    assert await nodes[0].of(JANE) == await nodes[1].of(JANE) == "+13035550101"


async def test_who_gets_a_bought_number_is_told(store: NumberStore, clock: Clock) -> None:
    told: list[tuple[int, str]] = []
    seller = Seller("+13035550101")
    node = Numbers(store, TelephonyMetrics(Metrics()), clock, provider=seller, given=lambda *each: told.append(each))
    assert await bought(node) == "+13035550101"
    assert told == [(JANE, "+13035550101")]


async def test_purchases_at_once_are_bounded(store: NumberStore, clock: Clock) -> None:
    seller = Seller(*(f"+130355501{number:02}" for number in range(40)))
    node = numbers(store, clock, seller)
    for person in range(1, 41):
        await node.of(person)
    await node.purchases()
    assert len(seller.sold) <= 40
    for person in range(1, 41):
        assert await bought(node, person) is not None
    assert len(seller.sold) == 40


async def test_closing_gives_up_a_purchase_that_hangs(store: NumberStore, clock: Clock) -> None:
    seller = Seller("+13035550101")
    seller.hang = True
    node = numbers(store, clock, seller)
    assert await node.of(JANE) is None
    await seller.asked.wait()
    assert await node.of(JANE) is None, "a heartbeat meanwhile waits for nothing either"
    await node.close()
    seller.hang = False
    clock.ms += 60_000
    assert await bought(numbers(store, clock, seller)) == "+13035550101"


async def test_a_purchase_whose_answer_was_lost_is_found_not_repeated(store: NumberStore, clock: Clock) -> None:
    seller = Seller("+13035550101", "+13035550102")
    seller.lose_the_answer = True
    assert await bought(numbers(store, clock, seller)) is None
    assert await bought(numbers(store, clock, seller)) is None  # the lease has not run out
    clock.ms += 60_000
    assert await bought(numbers(store, clock, seller)) == "+13035550101"
    assert len(seller.sold) == 1


async def test_a_provider_that_has_none_is_asked_again_at_once(store: NumberStore, clock: Clock) -> None:
    seller = Seller()
    assert await bought(numbers(store, clock, seller)) is None
    seller.stock.append("+13035550101")
    assert await bought(numbers(store, clock, seller)) == "+13035550101"


async def test_the_pool_is_used_before_the_provider(store: NumberStore, clock: Clock) -> None:
    await store.add([BOBS_PHONE], clock())
    seller = Seller("+13035550101")
    assert await numbers(store, clock, seller).of(JANE) == BOBS_PHONE
    assert not seller.sold
    assert (await store.counts())[NumberState.ALLOCATED] == 1


async def test_a_kill_between_leaves_everybody_with_exactly_one(data_dir: Path) -> None:
    """kill -9 while heartbeats are answered: what was answered stands, nobody has two, no number has two owners."""
    people = [JANE, BOB, ANN]
    answered: dict[int, object] = {}
    tokens = Tokens(data_dir)
    enough = asyncio.Event()

    async def beat(client: ClientSession, person: int) -> None:
        async with client.get(PATH, headers=bearer(tokens.person(person))) as response:
            answered[person] = (await response.json())["number"]
            enough.set()

    async with node_process(data_dir) as node, ClientSession(base_url=node.url) as client:
        beats = [asyncio.create_task(beat(client, person)) for person in people * 5]
        await enough.wait()
        await node.kill()
        await asyncio.gather(*beats, return_exceptions=True)
    before = dict(answered)
    async with open_buzz(data_dir, wall_clock_ms) as buzz:
        await asyncio.gather(*(beat(buzz.client, person) for person in people))
    assert {person: answered[person] for person in before} == before
    held = rows(data_dir, "SELECT person_id, e164 FROM buzz_number WHERE person_id IS NOT NULL ORDER BY person_id")
    assert [person for person, _ in held] == sorted(people)
    assert len({e164 for _, e164 in held}) == len(people)
