"""Push services as they behave: down, slow, full, redirecting; and UnifiedPush as ntfy does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from server.push.dispatcher import NEW
from tests.fakes.push_service import PushService, push_service
from tests.harness.backend import SQLITE, rows, write
from tests.harness.peer import chat
from tests.harness.people import BOB, CROWD, JANE
from tests.harness.waiting import until
from tests.harness.world import World

pytestmark = pytest.mark.backends(SQLITE)


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with push_service() as opened:
        yield opened


async def register(world: World, service: PushService, person: int, device: str) -> None:
    body = service.subscribe(device).registration(device)
    answer = await world.http(person)("PUT", "/apps/buzz/push", json=body)
    assert answer.status == 200, answer.text


def marks(world: World) -> list[tuple[object, ...]]:
    """The last result, the failures, and whether the push mark has moved."""
    return rows(world.data_dir, "SELECT last_result, failures, pushed_id > 0 FROM push_registration")


async def send(world: World, person: int = BOB) -> None:
    jane = await world.join(JANE)
    await jane.post(chat(JANE, person))


async def tried(world: World, device: str = "phone") -> str:
    answer = await world.http(BOB)("POST", "/apps/buzz/push/test", json={"device_id": device})
    [result] = answer.json["results"]
    answered, _, meaning = result["detail"].partition(": ")
    assert bool(meaning) == (result["result"] != "accepted"), "what is not accepted has words"
    return f"{result['result']}: {answered}"


@pytest.mark.parametrize(
    ("status", "result", "left"),
    [
        (200, "accepted: HTTP 200", 1),
        (202, "accepted: HTTP 202", 1),
        (404, "gone: HTTP 404", 0),
        (410, "gone: HTTP 410", 0),
        (400, "refused: HTTP 400", 1),
        (403, "refused: HTTP 403", 1),
        (413, "refused: HTTP 413", 1),
        (429, "unavailable: HTTP 429", 1),
        (500, "unavailable: HTTP 500", 1),
        (507, "unavailable: HTTP 507", 1),
    ],
)
async def test_what_the_answers_of_web_push_mean(
    world: World, service: PushService, watch: Any, status: int, result: str, left: int
) -> None:
    watch.expect("a push service refuses our pushes: check the credentials")
    await register(world, service, BOB, "phone")
    service.answer = lambda name: web.Response(status=status)
    assert await tried(world) == result
    assert len(marks(world)) == left


async def test_a_redirect_is_not_followed_and_a_long_answer_not_read(
    world: World, service: PushService, watch: Any
) -> None:
    watch.expect("a push service refuses our pushes: check the credentials")
    await register(world, service, BOB, "phone")
    await register(world, service, JANE, "other")
    service.answer = lambda name: web.Response(
        status=307, headers={"Location": service.subscriptions["other"].endpoint}
    )
    assert await tried(world) == "refused: HTTP 307"
    service.answer = lambda name: web.Response(status=500, body=b"x" * 50_000_000)
    assert await tried(world) == "unavailable: HTTP 500"
    assert not service.received


async def test_unifiedpush_answers_200_with_json_and_429_without_a_time(world: World, service: PushService) -> None:
    await register(world, service, BOB, "phone")
    answers = [web.Response(status=429), web.json_response({"id": "x", "event": "message"})]
    service.answer = lambda name: answers.pop(0)
    await send(world)
    await service.until(lambda s: s.counts()["phone"] == 1)
    await until(lambda: marks(world) == [("accepted", 0, 1)])


async def test_retry_after_is_kept_to(world: World, service: PushService) -> None:
    await register(world, service, BOB, "phone")
    service.answer = lambda name: web.Response(status=503, headers={"Retry-After": "120"})
    await send(world)
    await until(lambda: marks(world)[0][:2] == ("unavailable", 1))
    [(wait,)] = rows(world.data_dir, "SELECT again_at_ms - registered_at_ms FROM push_registration")
    assert isinstance(wait, int)
    assert 119_000 <= wait <= 140_000


async def test_after_too_many_failures_a_later_activity_tries_again(world: World, service: PushService) -> None:
    await register(world, service, BOB, "phone")
    await write(world.data_dir, [("UPDATE push_registration SET failures = 5, again_at_ms = 1", ())])
    service.answer = lambda name: web.Response(status=503)
    await send(world)
    await until(lambda: rows(world.data_dir, "SELECT given_up_id > 0 FROM push_registration") == [(1,)])
    service.answer = lambda name: None
    await send(world)
    await service.until(lambda s: s.counts()["phone"] == 1)


async def test_a_service_that_is_down_delays_no_other(world: World, service: PushService) -> None:
    """It takes connections and answers nothing, for more devices than it has slots."""
    async with push_service() as hanging:
        hanging.hanging = asyncio.Event()
        for person in CROWD[: 2 * NEW]:
            await register(world, hanging, person, f"phone-{person}")
        await register(world, service, BOB, "bobs")
        jane = await world.join(JANE)
        for person in CROWD[: 2 * NEW]:
            await jane.post(chat(JANE, person))
        await jane.post(chat(JANE, BOB))
        await service.until(lambda s: s.counts()["bobs"] == 1, 3)
        assert not hanging.received


async def test_a_push_whose_result_was_never_stored_twice_is_not_sent_a_third_time(
    world: World, service: PushService
) -> None:
    await register(world, service, BOB, "phone")
    await register(world, service, BOB, "marker")
    await write(world.data_dir, [("UPDATE push_registration SET attempts = 2 WHERE device_id = 'phone'", ())])
    await send(world)
    await service.until(lambda s: s.counts()["marker"] == 1)
    sql = "SELECT last_result, unanswered, attempts FROM push_registration WHERE device_id = 'phone'"
    await until(lambda: rows(world.data_dir, sql) == [("unknown", 1, 0)])
    assert service.counts()["phone"] == 0
