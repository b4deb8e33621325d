"""A session lives as long as its token: missing, bad, refreshed, about to expire, expired, revoked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from storage.accounts import AccountStore
from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import SQLITE
from tests.harness.clock import Clock
from tests.harness.peer import WAIT_SECONDS, chat
from tests.harness.people import BOB, JANE
from tests.harness.watch import Watch
from tests.harness.world import World, open_world


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def world(watch: Watch, data_dir: Path, clock: Clock) -> AsyncIterator[World]:
    """A node whose clock can be turned, and which looks at its sessions often."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(open_world(data_dir, clock, heartbeat_seconds=0.05))


@pytest.mark.usual_backends(SQLITE)
async def test_the_token_may_come_with_the_upgrade_or_with_the_hello(world: World, subprotocol: str) -> None:
    in_header = await world.connect(subprotocol, token=world.tokens.person(JANE))
    assert (await in_header.hello())["person_id"] == JANE
    in_frame = await world.connect(subprotocol)
    assert (await in_frame.hello(world.tokens.person(JANE)))["person_id"] == JANE
    both = await world.connect(subprotocol, token=world.tokens.person(JANE))
    assert (await both.hello(world.tokens.person(BOB)))["person_id"] == BOB


@pytest.mark.usual_backends(SQLITE)
@pytest.mark.parametrize("token", ["zzz", "", "a.b.c", "é" * 100, "x" * 8_192, None], ids=lambda token: str(token)[:8])
async def test_without_a_good_token_the_socket_is_closed_with_4401(
    world: World, subprotocol: str, token: str | None
) -> None:
    peer = await world.connect(subprotocol)
    await peer.send("hello", **({} if token is None else {"token": token}))
    assert await peer.until_closed() == 4401
    assert not token or token not in peer.close_reason


@pytest.mark.usual_backends(SQLITE)
@pytest.mark.parametrize("scope", ["lookup", "admin"])
async def test_a_services_token_is_no_persons(world: World, subprotocol: str, scope: str) -> None:
    in_frame = await world.connect(subprotocol)
    await in_frame.send("hello", token=world.tokens.service(scope))
    in_header = await world.connect(subprotocol, token=world.tokens.service(scope))
    await in_header.send("hello")
    assert [await peer.until_closed() for peer in (in_frame, in_header)] == [4401, 4401]


@pytest.mark.usual_backends(SQLITE)
async def test_an_expired_token_opens_nothing(world: World, clock: Clock) -> None:
    token = world.tokens.person(JANE, 60)
    clock.turn(61)
    peer = await world.connect()
    await peer.send("hello", token=token)
    assert await peer.until_closed() == 4401
    assert (await world.http(token=token).get("/apps/buzz/activity/0")).status == 401


@pytest.mark.usual_backends(SQLITE)
async def test_the_end_is_announced_a_minute_before_and_closes_with_4401(
    world: World, clock: Clock, subprotocol: str
) -> None:
    jane, bob = await world.join(JANE, subprotocol), await world.join(BOB, subprotocol)
    assert jane.events("token.expiring") == []
    clock.turn(3_600 - 59)
    [data] = await jane.until(lambda peer: peer.events("token.expiring"))
    assert 0 < data["seconds"] <= 60
    assert (await jane.post(chat(JANE, BOB)))["type"] == "ack"
    clock.turn(60)
    assert [await peer.until_closed() for peer in (jane, bob)] == [4401, 4401]
    assert len(jane.events("token.expiring")) == 1


@pytest.mark.usual_backends(SQLITE)
async def test_a_token_that_is_short_from_the_start_is_announced_at_once(
    watch: Watch, data_dir: Path, subprotocol: str
) -> None:
    async with open_world(data_dir) as world:  # the usual heartbeat, every 25 seconds
        jane = await world.join(JANE, subprotocol, ttl=30)
        await jane.until(lambda peer: peer.events("token.expiring"))


async def test_a_refreshed_session_goes_on_without_a_gap(world: World, clock: Clock, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol, ttl=100)
    clock.turn(50)
    await jane.until(lambda peer: peer.events("token.expiring"))
    renewed = await jane.ask("refresh", token=world.tokens.person(JANE, 1_000))
    assert renewed["type"] == "refreshed"
    assert renewed["token_expires_at"] > jane.welcome["token_expires_at"]
    clock.turn(100)
    bob = await world.join(BOB)
    await bob.post(chat(BOB, JANE))
    await jane.until_ids(1)
    clock.turn(860)
    await jane.until(lambda peer: len(peer.events("token.expiring")) == 2)
    clock.turn(100)
    assert await jane.until_closed() == 4401


@pytest.mark.usual_backends(SQLITE)
@pytest.mark.parametrize("kind", ["garbage", "another person's", "a service's", "expired"])
async def test_a_token_that_does_not_fit_refreshes_nothing_and_the_session_goes_on(
    world: World, clock: Clock, subprotocol: str, kind: str
) -> None:
    jane = await world.join(JANE, subprotocol)
    token = {
        "garbage": "x.y.z",
        "another person's": world.tokens.person(BOB),
        "a service's": world.tokens.service("admin"),
        "expired": world.tokens.person(JANE, 1),
    }[kind]
    clock.turn(2)
    answer = await jane.ask("refresh", token=token)
    assert answer["type"] == "error"
    assert answer["code"] in ("unauthorized", "forbidden")
    assert token not in answer["message"]
    await jane.alive()


@pytest.mark.usual_backends(SQLITE)
async def test_a_shorter_token_counts_as_well(world: World, clock: Clock) -> None:
    jane = await world.join(JANE)
    await jane.ask("refresh", token=world.tokens.person(JANE, 10))
    await jane.until(lambda peer: peer.events("token.expiring"))
    clock.turn(11)
    assert await jane.until_closed() == 4401


async def test_revoking_a_token_ends_its_sessions_and_no_others(world: World, subprotocol: str) -> None:
    token = world.tokens.person(JANE)
    revoked, other = await world.connect(subprotocol), await world.join(JANE, subprotocol)
    await revoked.hello(token)
    await world.node.auth.revoke_token(token)
    assert await revoked.until_closed() == 4401
    await other.alive()
    again = await world.connect(subprotocol)
    await again.send("hello", token=token)
    assert await again.until_closed() == 4401
    async with asyncio.timeout(WAIT_SECONDS):
        # Another node hears of it within two seconds: there is no event to wait for.
        while (await world.http(token=token).get("/apps/buzz/activity/0")).status != 401:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_revoking_a_person_ends_all_they_have_and_not_what_they_get_next(
    world: World, clock: Clock, subprotocol: str
) -> None:
    janes = [await world.join(JANE, subprotocol) for _ in range(3)]
    bob = await world.join(BOB, subprotocol)
    await world.node.auth.revoke_person(JANE)
    assert [await jane.until_closed() for jane in janes] == [4401] * 3
    clock.turn(0.001)
    await (await world.join(JANE, subprotocol)).alive()
    await bob.alive()


async def test_a_revocation_by_another_process_is_heard_of(world: World, clock: Clock) -> None:
    jane = await world.join(JANE)
    await AccountStore(world.node.database).revoke(person_id=JANE, revoked_at_ms=clock(), expires_at_ms=clock() + 10**9)
    assert await jane.until_closed() == 4401


async def test_what_a_refreshed_session_was_opened_with_can_be_revoked_without_ending_it(world: World) -> None:
    first, second = world.tokens.person(JANE), world.tokens.person(JANE)
    jane = await world.connect()
    await jane.hello(first)
    await jane.ask("refresh", token=second)
    await world.node.auth.revoke_token(first)
    await jane.alive()
    await world.node.auth.revoke_token(second)
    assert await jane.until_closed() == 4401


async def test_a_revocation_that_comes_while_a_session_opens_is_not_missed(open_: OpenWorld) -> None:
    world = await open_()
    tokens = [world.tokens.person(JANE) for _ in range(16)]
    peers = [await world.connect() for _ in tokens]
    for peer, token in zip(peers, tokens, strict=True):
        await peer.send("hello", token=token)
    await world.node.auth.revoke_person(JANE)
    assert [await peer.until_closed() for peer in peers] == [4401] * 16
    assert world.node.hub.sessions_of(JANE) == []
