"""The client library against a real node: catch-up, pages for what was passed over, tokens, devices, drain, HTTP."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from buzz_client import Activity, Backoff, BuzzClient, DeviceReplaced, HttpError, Party, SendRefused, TokenRefused
from protocol.activity import ActivityType
from storage.contract import Posting
from tests.harness.people import ACME, BOB, CAROL, JANE
from tests.harness.world import World

MANY = 5_000
OpenWorld = Callable[..., Awaitable[World]]


def client(world: World, person: int, token: Any = None, **options: Any) -> BuzzClient:
    quick = {"backoff": Backoff(base_seconds=0.02)}
    return BuzzClient(world.url, token or world.tokens.person(person), **(quick | options))


async def take(buzz: BuzzClient, count: int) -> list[Activity]:
    activities = buzz.activities()
    return [await anext(activities) for _ in range(count)]


async def write_history(world: World, count: int) -> None:
    """So many messages from Bob to Jane."""
    start = world.node.hub.head
    postings = [
        Posting(ActivityType.chat_message.value, BOB, JANE, BOB, None, f"m{number}", f"id-{number}", 0)
        for number in range(start + 1, start + count + 1)
    ]
    await world.running.append(postings)


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
async def test_a_history_of_thousands_arrives_whole_and_live_follows(world: World, encoding: Any) -> None:
    await write_history(world, MANY)
    async with asyncio.timeout(60), client(world, JANE, since=0, encoding=encoding) as jane:
        receiving = asyncio.create_task(take(jane, 2 * MANY))
        await write_history(world, MANY)
        assert [activity.id for activity in await receiving] == list(range(1, 2 * MANY + 1))


async def test_one_that_answers_within_its_loop_takes_all_and_answers_all(world: World) -> None:
    await write_history(world, MANY)
    seen: list[int] = []
    async with asyncio.timeout(60), client(world, JANE, since=0) as jane:
        async for activity in jane.activities():
            seen.append(activity.id)
            if activity.sender.id == BOB and activity.id % 500 == 0:
                await jane.send_message(activity.sender, f"answer to {activity.id}")
            if len(seen) == MANY + MANY // 500:
                break
    assert seen == list(range(1, MANY + MANY // 500 + 1))


async def test_one_that_never_took_anything_can_take_all_later(world: World) -> None:
    await write_history(world, MANY)
    async with asyncio.timeout(60), client(world, JANE, since=0) as jane:
        for number in range(5):
            await jane.send_message(f"person:{BOB}", str(number))
        assert [activity.id for activity in await take(jane, MANY + 5)] == list(range(1, MANY + 6))


async def test_a_company_and_its_members_talk_with_a_person(world: World) -> None:
    async with client(world, JANE) as jane, client(world, CAROL) as carol:
        await jane.send_message(f"company:{ACME}", "a question")
        [question] = await take(carol, 1)
        assert (question.receiver, question.receiver_name) == (Party("company", ACME), "Acme")
        await carol.send_message(question.sender, "an answer", sender=question.receiver)
        [_, answer] = await take(jane, 2)
        assert (answer.sender, answer.sender_name, answer.message) == (Party("company", ACME), "Acme", "an answer")


async def test_refusals_have_their_codes(world: World) -> None:
    async with client(world, JANE) as jane:
        for to, kind, code in [
            ("person:999999", {}, "not_found"),
            (f"person:{BOB}", {"sender": f"company:{ACME}"}, "forbidden"),
        ]:
            with pytest.raises(SendRefused) as refused:
                await jane.send_message(to, "x", **kind)
            assert refused.value.code == code
        with pytest.raises(SendRefused) as refused:
            await jane.send_message(f"person:{BOB}", "")
        assert refused.value.code == "bad_frame"


async def test_more_than_the_rate_limit_goes_out_in_its_own_time(open_: OpenWorld) -> None:
    world = await open_(send_rate_limit=50)
    async with asyncio.timeout(60), client(world, JANE, since=0) as jane:
        acks = await asyncio.gather(*(jane.send_message(f"person:{BOB}", str(number)) for number in range(250)))
        assert sorted(ack.id for ack in acks) == list(range(1, 251))
        assert len(await take(jane, 250)) == 250


async def test_a_token_about_to_expire_is_replaced_within_the_session(world: World) -> None:
    lifetimes = iter([30, 3_600])
    async with asyncio.timeout(20), client(world, JANE, lambda: world.tokens.person(JANE, next(lifetimes))) as jane:
        session_id = jane.welcome.session_id
        [session] = list(world.node.hub)
        told_until = session.caller.expires_at_ms
        while session.caller.expires_at_ms == told_until:
            await jane.send_message(f"person:{BOB}", "meanwhile")
        assert jane.welcome.session_id == session_id


async def test_after_a_revocation_only_a_new_token_helps(world: World) -> None:
    async with (
        asyncio.timeout(20),
        client(world, JANE, lambda: world.tokens.person(JANE)) as jane,
        client(world, BOB) as bob,
    ):
        for person in (JANE, BOB):
            await world.node.auth.revoke_person(person)
        with pytest.raises(TokenRefused):
            await take(bob, 1)
        await jane.send_message(f"person:{BOB}", "still here")


async def test_a_device_has_one_session(world: World) -> None:
    async with (
        asyncio.timeout(20),
        client(world, JANE, device_id="phone") as older,
        client(world, JANE, device_id="phone") as newer,
    ):
        with pytest.raises(DeviceReplaced):
            await take(older, 1)
        await newer.send_message(f"person:{BOB}", "the newer one")


async def test_received_is_kept_for_the_device(world: World) -> None:
    await write_history(world, 3)
    async with asyncio.timeout(20), client(world, JANE, since=0, device_id="phone") as jane:
        await take(jane, 3)
    marks = "SELECT received_id FROM device WHERE device_id = 'phone'"
    async with asyncio.timeout(20):
        while await world.node.database.fetch(marks) != [(3,)]:  # kept in the node's own time
            pass


async def test_typing_reaches_the_other_side(world: World) -> None:
    async with asyncio.timeout(20), client(world, JANE) as jane, client(world, BOB) as bob:
        seen: asyncio.Queue[Any] = asyncio.Queue()
        bob.on("typing", seen.put_nowait)
        jane.typing(f"person:{BOB}")
        assert (await seen.get())["from"] == {"type": "person", "id": JANE}


async def test_a_draining_node_is_left_for_another_without_a_gap(open_: OpenWorld, world: World) -> None:
    """The node says `reconnect`; here it is also the node to come back to, as behind one address."""
    async with asyncio.timeout(20), client(world, JANE, since=0) as jane:
        first_session = jane.welcome.session_id
        [session] = list(world.node.hub)
        session.tell({"type": "reconnect", "after_ms": 1, "resume_id": session.id, "reason": "drain"})
        sent = [await jane.send_message(f"person:{BOB}", str(number)) for number in range(50)]
        while jane.welcome.session_id == first_session:
            sent.append(await jane.send_message(f"person:{BOB}", "more"))
        assert [activity.id for activity in await take(jane, len(sent))] == [ack.id for ack in sent]
        assert len(world.node.hub) == 1


async def test_the_http_calls(world: World) -> None:
    async with client(world, JANE) as jane, client(world, BOB) as bob:
        ack = await jane.send_message(f"person:{BOB}", "hi")
        assert (await jane.http.heartbeat())["last_activity_id"] == str(ack.id)
        assert await jane.http.blocked() == []
        with pytest.raises(HttpError) as missing:
            await jane.http.encryption()
        assert missing.value.status == 404
        await jane.http.set_encryption("h", "e")
        assert (await jane.http.encryption())["hash"] == "h"
        key = base64.b64encode(bytes(range(1, 33))).decode()
        await jane.http.put_public_key(key, "x25519")
        assert key in str(await bob.http.public_keys(JANE))
        assert "Bob" in str(await jane.http.conversations())
        stored = await jane.http.post_activity(
            {
                "type": "chat_read_indicator",
                "sendable_type": "person",
                "sendable_id": JANE,
                "receivable_type": "person",
                "receivable_id": BOB,
                "message_id": ack.message_id,
            }
        )
        assert [activity.id async for activity in jane.http.history()] == [ack.id, stored["id"]]
        page = await bob.http.activities_before(limit=1, party=Party("person", JANE))
        assert (page.activities[0].id, page.more) == (stored["id"], True)
        await write_history(world, 1_200)
        assert len([activity async for activity in jane.http.history()]) == 1_202
