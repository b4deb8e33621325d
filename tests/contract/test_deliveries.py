"""What the queue of webhook deliveries promises (storage/webhooks/deliveries.py), on every backend."""

from __future__ import annotations

import asyncio

import pytest

from storage.database import Database
from storage.webhooks import deliveries, endpoints, lanes
from storage.webhooks.deliveries import Delivery, Filter, Status
from storage.webhooks.endpoints import Endpoint, EndpointKeys

NOW = 1_700_000_000_000
LEASE_MS = 60_000
COMPANY = 7


@pytest.fixture
async def endpoint(database: Database) -> Endpoint:
    async with database.transaction() as transaction:
        return await endpoints.add_endpoint(
            transaction, COMPANY, "https://receiver.example/", "multipart", EndpointKeys("key", "whsec_x"), NOW
        )


async def queue(database: Database, endpoint: Endpoint, request_id: str = "r1", now_ms: int = NOW) -> int:
    async with database.transaction() as transaction:
        ids = await deliveries.queue(transaction, [endpoint.id], request_id, "privacy_request.updated", now_ms)
    return ids[0]


async def lease(database: Database, endpoint: Endpoint, name: str = "a", now_ms: int = NOW) -> Delivery | None:
    async with database.transaction() as transaction:
        leased = await lanes.lease(transaction, endpoint.id, name, now_ms, now_ms + LEASE_MS)
    return leased and leased.delivery


async def finish(database: Database, done: Delivery, name: str = "a", now_ms: int = NOW) -> bool:
    finished = done._replace(status=Status.DELIVERED, next_attempt_at_ms=None, finished_at_ms=now_ms, http_status=200)
    async with database.transaction() as transaction:
        return await lanes.finish(transaction, name, finished)


async def postpone(database: Database, done: Delivery, due_at_ms: int, name: str = "a") -> bool:
    waiting = done._replace(failures=done.failures + 1, next_attempt_at_ms=due_at_ms, error="HTTP 500")
    async with database.transaction() as transaction:
        return await lanes.finish(transaction, name, waiting)


async def test_one_requests_deliveries_go_out_in_order_and_never_two_at_once(
    database: Database, endpoint: Endpoint
) -> None:
    first, second = await queue(database, endpoint), await queue(database, endpoint)
    leased = await lease(database, endpoint)
    assert leased is not None
    assert (leased.id, leased.attempts) == (first, 1)
    assert await lease(database, endpoint, "b") is None
    assert await finish(database, leased)
    after = await lease(database, endpoint, "b")
    assert after is not None
    assert after.id == second
    assert await finish(database, after, "b")
    assert await lease(database, endpoint) is None
    assert await lanes.due_endpoints(database, NOW) == []


async def test_two_requests_of_one_endpoint_go_out_side_by_side(database: Database, endpoint: Endpoint) -> None:
    await queue(database, endpoint, "r1")
    await queue(database, endpoint, "r2")
    one, other = await lease(database, endpoint, "a"), await lease(database, endpoint, "b")
    assert {one and one.request_id, other and other.request_id} == {"r1", "r2"}


async def test_the_lane_that_has_been_due_longest_is_first(database: Database, endpoint: Endpoint) -> None:
    for request_id, due_at_ms in (("b", NOW + 2), ("a", NOW + 3), ("c", NOW + 1)):
        await queue(database, endpoint, request_id, due_at_ms)
    leased = [await lease(database, endpoint, name, NOW + 3) for name in "xyz"]
    assert [one and one.request_id for one in leased] == ["c", "b", "a"]


async def test_a_lease_that_ran_out_is_taken_over_and_its_first_holder_changes_nothing(
    database: Database, endpoint: Endpoint
) -> None:
    await queue(database, endpoint)
    dead = await lease(database, endpoint, "dead")
    assert dead is not None
    assert await lease(database, endpoint, "b", NOW + LEASE_MS - 1) is None
    again = await lease(database, endpoint, "b", NOW + LEASE_MS)
    assert again is not None
    assert (again.id, again.attempts) == (dead.id, 2)
    assert not await finish(database, dead, "dead")
    assert await finish(database, again, "b")


async def test_what_waits_for_its_next_try_holds_up_what_is_behind_it(database: Database, endpoint: Endpoint) -> None:
    first = await queue(database, endpoint)
    leased = await lease(database, endpoint)
    assert leased is not None
    later = NOW + 1_800_000
    assert await postpone(database, leased, later)
    await queue(database, endpoint)
    assert await lease(database, endpoint) is None
    assert await lanes.due_endpoints(database, NOW) == []
    assert await lanes.LANES.next_due_ms(database, NOW) == later
    retried = await lease(database, endpoint, "a", later)
    assert retried is not None
    assert (retried.id, retried.attempts, retried.failures) == (first, 2, 1)


async def test_after_a_failure_for_good_the_next_goes_out_and_the_failed_one_can_be_retried(
    database: Database, endpoint: Endpoint
) -> None:
    first, second = await queue(database, endpoint), await queue(database, endpoint)
    leased = await lease(database, endpoint)
    assert leased is not None
    async with database.transaction() as transaction:
        failed = leased._replace(status=Status.FAILED, failures=4, next_attempt_at_ms=None)
        assert await lanes.finish(transaction, "a", failed)
    following = await lease(database, endpoint)
    assert following is not None
    assert following.id == second
    async with database.transaction() as transaction:
        retried = await lanes.retry(transaction, first, NOW + 1)
        assert await lanes.retry(transaction, 999, NOW + 1) is None
    assert retried is not None
    assert (retried.status, retried.failures, retried.next_attempt_at_ms) == (Status.PENDING, 0, NOW + 1)
    assert await lease(database, endpoint, "b", NOW + 1) is None, "the lane is still leased"
    assert await finish(database, following)
    again = await lease(database, endpoint, "b", NOW + 1)
    assert again is not None
    assert again.id == first
    assert await finish(database, again, "b")
    async with database.transaction() as transaction:
        assert await lanes.retry(transaction, first, NOW + 2) is None, "it was delivered"


@pytest.mark.parametrize(
    ("clock_ms", "signed_ms"),
    [(NOW + 1_000, NOW + 1_000), (NOW, NOW + 2), (NOW - 200_000, NOW + 2), (NOW - 3_600_000, NOW - 3_600_000)],
)
async def test_each_attempt_in_a_lane_is_later_than_those_before(
    database: Database, endpoint: Endpoint, clock_ms: int, signed_ms: int
) -> None:
    """Two nodes' clocks differ, and clocks are set back: a receiver that orders by the time must not be misled."""
    await queue(database, endpoint, "r1", NOW - 4_000_000)
    first = await lease(database, endpoint)
    assert first is not None
    assert first.attempted_at_ms == NOW
    assert await finish(database, first)
    for request_id in ("r1", "r2"):
        await queue(database, endpoint, request_id, NOW - 4_000_000)
    found = {one.request_id: one for name in "bc" if (one := await lease(database, endpoint, name, clock_ms))}
    assert found["r1"].attempted_at_ms == signed_ms
    assert found["r2"].attempted_at_ms == clock_ms, "other requests are not concerned"
    assert await deliveries.find(database, found["r1"].id) == found["r1"]


async def test_everything_that_failed_can_be_retried_at_once(database: Database, endpoint: Endpoint) -> None:
    for request_id in ("r1", "r2", "r3"):
        await queue(database, endpoint, request_id)
    for name in ("a", "b"):
        leased = await lease(database, endpoint, name)
        assert leased is not None
        async with database.transaction() as transaction:
            failed = leased._replace(status=Status.FAILED, failures=4, next_attempt_at_ms=None)
            await lanes.finish(transaction, name, failed)
    async with database.transaction() as transaction:
        assert await lanes.retry_failed(transaction, endpoint.id, NOW + 5) == 2
    assert {one.failures for one in await deliveries.listed(database, Filter())} == {0}, "with all retries again"
    assert [one.status for one in await deliveries.listed(database, Filter())] == [Status.PENDING] * 3
    assert [await lease(database, endpoint, name, NOW + 5) is not None for name in "abcd"] == [True, True, True, False]


async def test_an_endpoint_that_is_paused_keeps_its_deliveries_and_one_that_is_deleted_cancels_them(
    database: Database, endpoint: Endpoint
) -> None:
    await queue(database, endpoint)
    async with database.transaction() as transaction:
        await endpoints.save_endpoint(transaction, endpoint._replace(enabled=False))
    assert await lanes.due_endpoints(database, NOW) == []
    assert await lease(database, endpoint) is None
    async with database.transaction() as transaction:
        await endpoints.save_endpoint(transaction, endpoint)
    assert await lanes.due_endpoints(database, NOW) == [endpoint.id]
    async with database.transaction() as transaction:
        assert await endpoints.delete_endpoint(transaction, endpoint.id, NOW)
        assert not await endpoints.delete_endpoint(transaction, endpoint.id, NOW)
    assert await lease(database, endpoint) is None
    assert [one.status for one in await deliveries.listed(database, Filter())] == [Status.CANCELLED]
    assert await endpoints.endpoint(database, endpoint.id) is None


async def test_the_log_is_listed_newest_first_and_in_pages(database: Database, endpoint: Endpoint) -> None:
    ids = [await queue(database, endpoint, f"r{number}") for number in range(5)]
    page = await deliveries.listed(database, Filter(limit=2))
    assert [one.id for one in page] == [ids[4], ids[3]]
    rest = await deliveries.listed(database, Filter(before=ids[3], status=Status.PENDING, endpoint_id=endpoint.id))
    assert [one.id for one in rest] == [ids[2], ids[1], ids[0]]
    assert [one.id for one in await deliveries.listed(database, Filter(request_id="r0"))] == [ids[0]]


async def test_workers_that_race_for_lanes_never_share_one(database: Database, endpoint: Endpoint) -> None:
    for number in range(12):
        await queue(database, endpoint, f"r{number % 4}")
    seen: list[int] = []

    async def work(worker: int) -> None:
        while (leased := await lease(database, endpoint, f"w{worker}")) is not None:
            seen.append(leased.id)
            assert await finish(database, leased, f"w{worker}")

    await asyncio.gather(*(work(worker) for worker in range(4)))
    while (leased := await lease(database, endpoint)) is not None:
        seen.append(leased.id)
        assert await finish(database, leased)
    assert sorted(seen) == list(range(1, 13))
    for lane in range(4):
        mine = [delivery for delivery in seen if delivery % 4 == (lane + 1) % 4]
        assert mine == sorted(mine)


async def test_a_random_token_is_new_once(database: Database) -> None:
    async with database.transaction() as transaction:
        assert await endpoints.remember_token(transaction, 1, "t", NOW)
        assert not await endpoints.remember_token(transaction, 1, "t", NOW)
        assert await endpoints.remember_token(transaction, 2, "t", NOW)
        assert await endpoints.forget_tokens(transaction, NOW + 1) == 2
        assert await endpoints.remember_token(transaction, 1, "t", NOW)


def test_keys_count_until_their_overlap_ends() -> None:
    keys = EndpointKeys("new", "whsec_new", "old", "whsec_old", NOW)
    assert (keys.api_keys(NOW - 1), keys.secrets(NOW - 1)) == (["new", "old"], ["whsec_new", "whsec_old"])
    assert (keys.api_keys(NOW), keys.secrets(NOW)) == (["new"], ["whsec_new"])
    assert EndpointKeys("only", None).secrets(NOW) == []
