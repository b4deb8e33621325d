"""Reading a history costs the node at most a page, for every content and reader: in bytes, in time, in number."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import sys
import uuid
from base64 import b64encode
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from itertools import pairwise

import pytest

from protocol.activity import ActivityType
from server.http.sending import ANSWER_BYTES, AnswerKind
from server.http.sending import Answer as Sent
from server.routes.history import one_page, pieces
from server.runtime.turns import Turns
from storage.contract import Posting, Range
from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import POSTGRESQL, SQLITE
from tests.harness.http import Answer
from tests.harness.people import BOB, CAROL, CROWD, DAVE, JANE
from tests.harness.unread import Unread, unread
from tests.harness.waiting import until
from tests.harness.world import World

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.usual_backends(SQLITE, POSTGRESQL)

SEND_BUFFER = 32 * 1024
HISTORY = "/apps/buzz/activity/0"
LARGEST_AS_JSON = 400 * 1024


def message(sender: int, receiver: int, text: str) -> Posting:
    kind = ActivityType.chat_message
    return Posting(kind, sender, receiver, sender, None, text, str(uuid.uuid4()), 1_720_181_685_000)


def large(count: int, character: str = "x") -> list[Posting]:
    """Between Jane and Bob, 64 KiB each."""
    pairs = ((JANE, BOB), (BOB, JANE))
    return [message(*pairs[number % 2], character * 65_536) for number in range(count)]


async def small_buffers(open_: OpenWorld) -> World:
    """A node whose kernel keeps little for a connection: who does not read is soon noticed."""
    world = await open_(send_buffer=SEND_BUFFER)
    await world.running.append(large(40), each=10)
    return world


async def all_pages(world: World, path: str, person: int = JANE) -> list[Answer]:
    """A page and every one that its Link leads to."""
    pages: list[Answer] = []
    following: str | None = path
    while following is not None:
        pages.append(await world.http(person).get(following))
        assert pages[-1].status == 200
        link = pages[-1].headers.get("Link")
        following = None if link is None else link.partition("<")[2].partition(">")[0]
    return pages


@pytest.mark.parametrize("character", ["x", "\x01"], ids=["six bits", "control characters"])
async def test_a_page_ends_at_about_one_mebibyte_and_its_link_goes_on(world: World, character: str) -> None:
    await world.running.append(large(24, character), each=8)
    newer, older = "/apps/buzz/activity/0?limit=10000", "/apps/buzz/activity?limit=10000"
    for path in (newer, older, f"{newer}&party=person:{BOB}", f"{older}&party=person:{BOB}"):
        pages = await all_pages(world, path)
        ids = [row["id"] for page in pages for row in page.json]
        assert ids == (list(range(1, 25)) if path.startswith(newer) else list(range(24, 0, -1)))
        assert all(len(page.body) < ANSWER_BYTES + LARGEST_AS_JSON for page in pages)
        assert len(pages) >= 24 * len(json.dumps(character * 65_536)) // (ANSWER_BYTES + LARGEST_AS_JSON)
        assert all(row["message"] == character * 65_536 for page in pages for row in page.json)
    whole = (await world.http(JANE).get(HISTORY)).json
    assert [row["id"] for row in whole] == list(range(1, 25))
    assert {row["message"] for row in whole} == {character * 65_536}


async def test_small_ones_come_as_many_as_were_asked_for(world: World) -> None:
    await world.running.append([message(JANE, BOB, "x") for _ in range(1_900)])
    [page, rest] = await all_pages(world, "/apps/buzz/activity/0?limit=1500")
    assert [row["id"] for row in page.json] == list(range(1, 1_501)), "more than one trip to the database"
    assert [row["id"] for row in rest.json] == list(range(1_501, 1_901))
    [exact] = await all_pages(world, "/apps/buzz/activity/400?limit=1500")
    assert len(exact.json) == 1_500


async def test_conversations_end_at_about_one_mebibyte_and_their_link_goes_on(world: World) -> None:
    people = CROWD[:12]
    await world.running.append([message(person, JANE, "\x01" * 65_536) for person in people], each=4)
    pages = await all_pages(world, "/apps/buzz/conversations")
    assert [row["party"]["id"] for page in pages for row in page.json] == list(reversed(people))
    assert all(len(page.body) < ANSWER_BYTES + LARGEST_AS_JSON for page in pages)
    assert len(pages) == 4
    assert len((await world.http(JANE).get("/apps/buzz/conversations?limit=1")).json) == 1


async def test_a_person_has_four_histories_at_once_and_others_have_theirs(open_: OpenWorld) -> None:
    world = await small_buffers(open_)
    async with AsyncExitStack() as stack:
        open_ones = [await stack.enter_async_context(jane_asks(world)) for _ in range(AnswerKind.HISTORY.value)]
        assert [each.status for each in open_ones] == [200] * 4
        refused = await world.http(JANE).get(HISTORY)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
        assert (await world.http(JANE).get(f"{HISTORY}?limit=1")).status == 200
        assert len((await world.http(BOB).get(HISTORY)).json) == 40
        assert len(json.loads(await open_ones[0].rest())) == 40
        assert len((await world.http(JANE).get(HISTORY)).json) == 40


async def test_a_person_has_sixteen_pages_at_once(open_: OpenWorld) -> None:
    world = await small_buffers(open_)
    async with AsyncExitStack() as stack:
        for path in ("/apps/buzz/activity/0?limit=100", "/apps/buzz/activity"):
            for _ in range(AnswerKind.PAGE.value // 2):
                await stack.enter_async_context(jane_asks(world, path))
        for path in ("/apps/buzz/activity", "/apps/buzz/conversations"):
            refused = await world.http(JANE).get(path)
            assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
        assert (await world.http(BOB).get("/apps/buzz/conversations")).status == 200
    await until(lambda: not len(world.node.sending))


async def test_who_takes_nothing_for_too_long_is_cut_off(open_: OpenWorld) -> None:
    world = await small_buffers(open_)
    sending = world.node.sending
    sending.stall_seconds = 0.05
    async with jane_asks(world) as stalled, jane_asks(world, "/apps/buzz/activity") as page:
        await until(lambda: sending.counts["stalled"] == 2)
        for each in (stalled, page):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await each.rest()
    assert len(sending) == 0
    sending.stall_seconds = 30.0
    assert len((await world.http(JANE).get(HISTORY)).json) == 40


async def test_a_full_node_cuts_off_who_has_kept_it_waiting_longest_for_somebody_else(open_: OpenWorld) -> None:
    world = await small_buffers(open_)
    sending, now = world.node.sending, [100.0]
    sending.now, sending._max_answers = lambda: now[0], 2
    async with jane_asks(world) as first, jane_asks(world) as second:
        await until(lambda: len(sending) == 2 and all(map(is_stalled, sending._under_way)))
        now[0] += 1
        refused = await world.http(BOB).get(HISTORY)
        assert (refused.status, refused.headers.get("Retry-After")) == (503, "5"), "it may be a slow line"
        now[0] += 10
        assert len((await world.http(BOB).get(HISTORY)).json) == 40
        broken = [each for each in (first, second) if await is_broken_off(each)]
        assert len(broken) == 1
    assert sending.counts == {"refused": 1, "made room": 1}


@pytest.mark.parametrize("accepted", ["identity", "gzip", "zstd"])
async def test_a_history_goes_on_where_its_reader_stopped(open_: OpenWorld, accepted: str) -> None:
    world = await open_(send_buffer=SEND_BUFFER)
    chance = random.Random(1)
    texts = [b64encode(chance.randbytes(49_152)).decode() for _ in range(40)]
    await world.running.append([message(JANE, BOB, text) for text in texts], each=10)
    async with jane_asks(world, HISTORY, accepted) as stopped:
        await until(lambda: any(map(is_stalled, world.node.sending._under_way)))
        body = await stopped.rest()
    assert stopped.headers.get("content-encoding", "identity") == accepted
    unpack = {"identity": bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}[accepted]
    assert [row["message"] for row in json.loads(unpack(body))] == texts


async def test_encoding_gives_the_loop_its_turns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With slices of no length: at least one between any two pieces."""
    monkeypatch.setattr("server.routes.history.Turns", partial(Turns, 0.0))
    await world.running.append(large(12), each=6)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    seen = [turns async for _ in pieces(world.node.activities, Range((JANE,)))]
    page = await one_page(world.node.activities, Range((JANE,)))
    counting.cancel()
    assert len(seen) == 13
    assert all(before < after for before, after in pairwise(seen[:12]))
    assert (page.last, page.more) == (12, False)


async def test_a_companys_history_is_bounded_for_each_of_its_members(open_: OpenWorld) -> None:
    """A person's number, not a history's: members do not take from each other."""
    world = await small_buffers(open_)
    async with AsyncExitStack() as stack:
        for person in (CAROL, DAVE):
            for _ in range(4):
                asked = unread(world.url, HISTORY, world.tokens.person(person))
                assert (await stack.enter_async_context(asked)).status == 200


async def is_broken_off(answer: Unread) -> bool:
    try:
        assert len(json.loads(await answer.rest())) == 40
    except (asyncio.IncompleteReadError, ConnectionError):
        return True
    return False


def is_stalled(answer: Sent) -> bool:
    """Its socket is full, and it waits: asyncio pauses a writer above 64 KiB, until no more than 16 are left."""
    transport = answer.request.transport
    return answer.waiting_since is not None and transport is not None and transport.get_write_buffer_size() > 16 * 1024


def jane_asks(world: World, path: str = HISTORY, accepted: str = "identity") -> AbstractAsyncContextManager[Unread]:
    return unread(world.url, path, world.tokens.person(JANE), accepted)
