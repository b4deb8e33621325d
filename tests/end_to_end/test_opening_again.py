"""A device that comes again with a known token gets its session in the step in which its hello arrives, without a task.

Whatever needs a wait, and whatever has changed since, is still found: these run by both ways.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
from aiohttp import web

from protocol.directory import Kind
from server.live.session import Session
from server.runtime.tasks import Tasks
from server.socket.acceptor import Acceptor
from server.socket.endpoint import ADMITTED_PER_TURN
from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import POSTGRESQL, SQLITE, TWO_NODES
from tests.harness.peer import JSON, Peer, chat
from tests.harness.people import ACME, BOB, CROWD, JANE
from tests.harness.waiting import until
from tests.harness.world import World

HELLOS = 5 * ADMITTED_PER_TURN
pytestmark = pytest.mark.usual_backends(SQLITE)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the tasks that sockets start from now on."""
    names: list[str] = []
    start = Tasks.start

    def noted(self: Tasks, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        names.append(name)
        return start(self, name, work)

    monkeypatch.setattr(Tasks, "start", noted)
    return names


async def again(world: World, token: str, subprotocol: str, **hello: Any) -> Peer:
    """Open another session with a token."""
    peer = await world.connect(subprotocol)
    await peer.hello(token, **hello)
    return peer


async def test_only_a_new_token_needs_a_task(world: World, subprotocol: str, started: list[str]) -> None:
    token = world.tokens.person(JANE)
    await again(world, token, subprotocol)
    assert started == ["frame"]
    second = await again(world, token, subprotocol, last_activity_id=0)
    await second.until_frame("caught_up")
    await second.alive()
    assert started == ["frame"]
    assert second.welcome["person_id"] == JANE


async def test_an_upgrade_needs_no_task_of_aiohttp(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[web.RequestHandler] = []
    start = web.RequestHandler.start

    async def noted(self: web.RequestHandler) -> None:
        begun.append(self)
        await start(self)

    monkeypatch.setattr(web.RequestHandler, "start", noted)
    peers = await asyncio.gather(*(world.connect(JSON) for _ in range(3 * ADMITTED_PER_TURN)))
    for peer in peers:
        await peer.hello(world.tokens.person(JANE))
    assert not begun


async def test_a_token_of_the_upgrade_is_known_too(world: World, subprotocol: str, started: list[str]) -> None:
    token = world.tokens.person(JANE)
    for _ in range(2):
        peer = await world.connect(subprotocol, token=token)
        await peer.hello()
        await peer.alive()
    assert started == ["frame"]


async def test_frames_behind_the_hello_are_handled_after_it(world: World, subprotocol: str) -> None:
    token = world.tokens.person(JANE)
    await again(world, token, subprotocol)
    peer = await world.connect(subprotocol)
    await asyncio.gather(
        peer.send("hello", token=token),
        peer.send("ping", ref="first"),
        peer.send("send", ref="second", activity=chat(JANE, BOB)),
        peer.send("hello", token=token, ref="third"),
    )
    refused = await peer.until_frame("error", ref="third")
    assert refused["code"] == "bad_frame"
    await peer.until_frame("ack", ref="second")
    assert [frame["type"] for frame in peer.frames][:2] == ["welcome", "pong"]


@pytest.mark.backends(SQLITE, POSTGRESQL, TWO_NODES)
async def test_what_was_missed_comes_to_a_known_token(world: World, subprotocol: str) -> None:
    token = world.tokens.person(JANE)
    for _ in world.nodes:
        await again(world, token, subprotocol)
    bob = await world.join(BOB, subprotocol)
    sent = [(await bob.post(chat(BOB, JANE, f"number {number}")))["id"] for number in range(5)]
    back = await again(world, token, subprotocol, last_activity_id=sent[1])
    assert await back.until_ids(*sent[2:]) == sent[2:]


@pytest.mark.backends(TWO_NODES)
async def test_a_cursor_that_is_ahead_of_the_node_makes_it_read_first(world: World, subprotocol: str) -> None:
    token = world.tokens.person(JANE)
    seen = [await again(world, token, subprotocol) for _ in world.nodes]
    behind = world.nodes[1].node.cluster
    assert behind.tail is not None
    polls = behind.tail.counts["polls"]
    ahead = seen[0].welcome["head_id"] + 1_000
    for _ in world.nodes:
        await again(world, token, subprotocol, last_activity_id=ahead)
    assert behind.tail.counts["polls"] > polls


@pytest.mark.backends(SQLITE, POSTGRESQL, TWO_NODES)
@pytest.mark.parametrize("ending", ["person revoked", "token revoked", "signed out", "removed"])
async def test_a_right_that_ended_meanwhile_is_refused(world: World, subprotocol: str, ending: str) -> None:
    token = world.tokens.person(JANE)
    for _ in world.nodes:
        await (await again(world, token, subprotocol, device_id="phone")).close()
    node = world.node
    match ending:
        case "person revoked":
            await node.auth.revoke_person(JANE)
        case "token revoked":
            await node.auth.revoke_token(token)
        case "signed out":
            async with node.database.transaction() as transaction:
                await node.auth.sign_out(transaction, JANE, "phone", None)
        case _:
            await node.directory.remove(Kind.PERSON, (str(JANE),))
    for running in world.nodes:
        await running.node.auth.poll()
    for _ in world.nodes:
        peer = await world.connect(subprotocol)
        await peer.send("hello", token=token, device_id="phone")
        assert await peer.until_closed() == 4401
        assert not peer.of_type("welcome")


async def test_a_membership_that_changed_meanwhile_counts(world: World, subprotocol: str) -> None:
    token = world.tokens.person(JANE)
    await again(world, token, subprotocol)
    for member in (True, False):
        await world.set_member(ACME, JANE, member)
        await again(world, token, subprotocol)
        assert (-ACME in world.node.hub.sessions_of(JANE)[-1].parties) is member


@pytest.mark.parametrize("known", [True, False])
async def test_hellos_that_come_together_are_spread_over_turns(
    world: World, subprotocol: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, opened = 0, Counter[int]()
    begin = Acceptor._begin

    def noted(self: Acceptor, *arguments: Any) -> Session:
        opened[turn] += 1
        return begin(self, *arguments)

    def next_turn() -> None:
        nonlocal turn
        turn += 1
        if opened.total() < HELLOS:
            asyncio.get_running_loop().call_soon(next_turn)

    people = CROWD[:HELLOS]
    tokens = {person: world.tokens.person(person) for person in people}
    if known:
        for token in tokens.values():
            await (await again(world, token, subprotocol)).close()
    peers = [await world.connect(subprotocol) for _ in people]
    monkeypatch.setattr(Acceptor, "_begin", noted)
    next_turn()
    await asyncio.gather(*(peer.send("hello", token=token) for peer, token in zip(peers, tokens.values(), strict=True)))
    for peer in peers:
        await peer.until_frame("welcome")
    assert opened.total() == HELLOS
    # New tokens wait for a read of memberships that many share, and then go on together.
    assert not known or max(opened.values()) <= ADMITTED_PER_TURN


async def test_a_socket_that_ends_while_its_hello_waits_leaves_nothing(world: World, subprotocol: str) -> None:
    token = world.tokens.person(JANE)
    await (await again(world, token, subprotocol)).close()
    peers = [await world.connect(subprotocol) for _ in range(HELLOS)]
    await asyncio.gather(*(peer.send("hello", token=token) for peer in peers))
    for peer in peers:
        peer.cut()
    await until(lambda: not world.node.socket._sockets)
    assert not len(world.node.hub)
    await (await again(world, token, subprotocol)).alive()


async def test_the_limits_of_sessions_and_handshakes_hold(open_: OpenWorld, subprotocol: str) -> None:
    world = await open_(max_sessions_per_person=2, max_handshakes_per_address=1)
    token = world.tokens.person(JANE)
    # The second one is accepted only if the first one's handshake has ended, and so on.
    first, second, third = [await again(world, token, subprotocol) for _ in range(3)]
    assert await first.until_closed() == 4409
    phone = await again(world, token, subprotocol, device_id="phone")
    assert await second.until_closed() == 4409
    newer = await again(world, token, subprotocol, device_id="phone", resume_id=third.welcome["session_id"])
    assert await phone.until_closed() == 4409
    assert await third.until_closed() == 1001
    await newer.alive()


async def test_a_known_token_of_a_service_opens_nothing(world: World, subprotocol: str) -> None:
    token = world.tokens.service("admin")
    for _ in range(2):
        assert (await world.http(token=token)("GET", "/metrics")).status == 200
        peer = await world.connect(subprotocol)
        await peer.send("hello", token=token)
        assert await peer.until_closed() == 4401


@pytest.mark.parametrize("named", [True, False])
async def test_the_answer_to_the_upgrade_has_the_headers_of_every_answer(world: World, named: bool) -> None:
    reader, writer = await asyncio.open_connection(world.running.host, world.running.port)
    protocol = f"Sec-WebSocket-Protocol: other, {JSON}\r\n" if named else ""
    writer.write(
        "GET /apps/buzz/socket HTTP/1.1\r\nHost: here\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n".encode()
    )
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().removesuffix("\r\n\r\n").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert status == "HTTP/1.1 101 Switching Protocols"
    assert headers.keys() - {"Sec-WebSocket-Protocol"} == {
        "Upgrade", "Connection", "Sec-WebSocket-Accept", "Date", "Server", "X-Request-Id",
    }  # fmt: skip
    assert headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # the example of RFC 6455, section 1.3
    assert headers.get("Sec-WebSocket-Protocol") == (JSON if named else None)
    writer.close()
