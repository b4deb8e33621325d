"""Every right that a node keeps in memory, against every way in which it can end: on every backend, at every node.

The table itself, and what each of its cells asks, is in ``tests/harness/rights.py``. How soon rights end is measured
by the drill (row 19); here they have the time that a busy machine may need, and no more.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from protocol.activity import ActivityType
from protocol.directory import Kind
from server.runtime.clock import wall_clock_ms
from storage.contract import Posting
from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import SQLITE
from tests.harness.peer import chat
from tests.harness.people import ACME, BOB, CAROL, JANE, rows
from tests.harness.provider import Provider, identity_provider
from tests.harness.rights import ENDINGS, ENDS, FORM, PROVIDERS, RIGHTS, Scene, outlived
from tests.harness.waiting import until
from tests.harness.world import World

SECONDS = 10.0
"""Less than a cache of half a minute would take."""
STRANGER = 99_999


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with identity_provider() as opened:
        yield opened


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_right_ends_at_every_node_and_no_other_does(
    open_: OpenWorld, provider: Provider, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr("server.auth.authentication.REFRESH_SECONDS", 0.2)
    world = await open_(privacy_forms_per_minute=1_000, **provider.settings)
    http = await stack.enter_async_context(aiohttp.ClientSession())
    urls = [running.url for running in world.nodes]
    key_file = world.running.settings.signing_key_path
    scene = Scene(urls, key_file, provider, http, stack, from_provider=ending == PROVIDERS)
    await scene.open()
    assert await outlived(scene, ending, len(urls) - 1, SECONDS) == []


def test_the_table_names_every_right_and_every_ending() -> None:
    assert ENDS.keys() == ENDINGS.keys()
    assert set().union(*ENDS.values()) == RIGHTS.keys(), "a right that nothing ends is none that this table can test"


async def test_a_person_who_is_put_back_has_the_tokens_of_before_but_no_session(world: World) -> None:
    token = world.tokens.person(JANE)
    session = await world.join(JANE)
    operator = world.http(token=world.tokens.service("admin"))
    assert (await operator("DELETE", f"/admin/directory/person/{JANE}")).status == 204
    assert await session.until_closed() == 4401
    assert session.close_reason == f"person {JANE} is not in the directory"
    assert (await operator("PUT", f"/admin/directory/person/{JANE}", json={"first_name": "Jane"})).status == 200
    async with asyncio.timeout(SECONDS):
        while (await world.http(token=token).get("/apps/buzz/activity/0")).status != 200:
            pass


ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/apps/buzz/heartbeat", None),
    ("GET", "/apps/buzz/blocked", None),
    ("POST", "/apps/buzz/activity", chat(STRANGER, BOB)),
    ("GET", "/apps/buzz/activity/0", None),
    ("GET", "/apps/buzz/activity?limit=1", None),
    ("GET", "/apps/buzz/conversations", None),
    ("PUT", "/apps/buzz/encryption", {"hash": "h", "e2e_id": "e"}),
    ("GET", "/apps/buzz/encryption", None),
    ("PUT", "/apps/buzz/public-key", {"public_key": "A" * 43 + "=", "algorithm": "x25519"}),
    ("GET", f"/apps/buzz/public-key/{BOB}", None),
    ("GET", "/apps/buzz/privacy-requests", None),
    ("DELETE", "/apps/buzz/clear", None),
    ("GET", "/admin/stats", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=[f"{route[0]} {route[1]}" for route in ROUTES])
async def test_a_good_token_of_nobody_in_the_directory_is_told_what_to_do(
    world: World, method: str, path: str, body: Any
) -> None:
    answer = await world.http(STRANGER)(method, path, **({} if body is None else {"json": body}))
    assert (answer.status, answer.json["error"]["code"]) == (401, "401")
    assert f"Person {STRANGER} is not in the directory" in answer.message
    assert "run.py import" in answer.message


async def test_nobody_in_the_directory_gets_no_number(world: World) -> None:
    await world.http(STRANGER).get("/apps/buzz/heartbeat")
    operator = world.http(token=world.tokens.service("admin"))
    assert (await operator.get("/admin/numbers")).json["numbers"] == []
    assert (await world.http(JANE).get("/apps/buzz/heartbeat")).json["number"] is not None


async def test_the_socket_says_who_is_not_in_the_directory(world: World, subprotocol: str) -> None:
    stranger = await world.connect(subprotocol)
    await stranger.send("hello", token=world.tokens.person(STRANGER))
    assert await stranger.until_closed() == 4401
    assert stranger.close_reason == f"person {STRANGER} is not in the directory"


class OnItsWay:
    """A request whose body stops half way, after its credential was checked, until it is let go on."""

    def __init__(self, world: World, person: int, method: str, path: str, first: bytes, rest: bytes) -> None:
        self._world = world
        self._token = world.tokens.person(person)
        self._going = asyncio.Event()
        self._first, self._rest = first, rest
        headers = {"Content-Type": "application/json"}
        http = world.http(token=self._token)
        self._answer = asyncio.create_task(http(method, path, data=self._body(), headers=headers))

    async def checked(self) -> None:
        """Wait until a node has checked the credential."""
        await until(lambda: any(running.node.auth.cached(self._token) for running in self._world.nodes))

    async def go_on(self) -> int:
        """Let the rest come, when every node knows what has changed; the answer's status."""
        for running in self._world.nodes:
            await running.node.auth.poll()
        self._going.set()
        return (await self._answer).status

    async def _body(self) -> AsyncIterator[bytes]:
        yield self._first
        await self._going.wait()
        yield self._rest


@pytest.mark.parametrize("ending", ["revoked", "removed"])
async def test_a_body_that_was_on_its_way_does_nothing_after_the_end(world: World, ending: str) -> None:
    """A body may take two minutes: what counted when it began does not when it has come."""
    put = OnItsWay(world, JANE, "PUT", "/apps/buzz/encryption", b'{"hash": "h", ', b'"e2e_id": "e"}')
    await put.checked()
    if ending == "revoked":
        await world.node.auth.revoke_person(JANE)
    else:
        await world.node.directory.remove(Kind.PERSON, (str(JANE),))
    assert await put.go_on() == 401
    assert rows(world.data_dir, "SELECT count(*) FROM encryption") == [(0,)]


async def test_members_who_are_removed_while_their_change_is_on_its_way_change_nothing(world: World) -> None:
    operator = world.http(token=world.tokens.service("admin"))
    code = {"code": "57", "company_id": ACME, "name": "Privacy line"}
    assert (await operator("POST", "/admin/service-codes", json=code)).status == 201
    made = (await world.http()("POST", "/privacy-requests/57", json=FORM)).json["id"]

    path = f"/apps/buzz/privacy-requests/{made}"
    change = OnItsWay(world, CAROL, "PATCH", path, b'{"completed": ', b"true}")
    await change.checked()
    await world.set_member(ACME, CAROL, member=False)
    assert await change.go_on() == 404
    assert (await operator.get(f"/admin/privacy-requests/{made}")).json["completed"] is False


@pytest.mark.backends(SQLITE)
@pytest.mark.parametrize("ending", ["person", "member"])
async def test_a_history_that_is_being_sent_is_broken_off(open_: OpenWorld, ending: str) -> None:
    """A slow reader could otherwise read a company's activities after the membership has ended."""
    world = await open_(send_buffer=65_536)
    text, kind = "x" * 65_000, ActivityType.chat_message
    await world.running.append(
        [Posting(kind, BOB, -ACME, BOB, None, text, str(uuid.uuid4()), wall_clock_ms()) for _ in range(150)]
    )
    headers = {"Authorization": f"Bearer {world.tokens.person(CAROL)}", "Accept-Encoding": "identity"}
    url = f"{world.url}/apps/buzz/activity/0"
    connector = aiohttp.TCPConnector(socket_factory=_small_socket)
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url, headers=headers) as answer:
        await answer.content.readany()
        if ending == "person":
            await world.node.directory.remove(Kind.PERSON, (str(CAROL),))
        else:
            await world.set_member(ACME, CAROL, member=False)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


def _small_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """One that takes little ahead of its reader."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    return made
