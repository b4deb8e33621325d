"""Every close code, the limits on sessions, handshakes and frames, origins, and pings."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from websockets.exceptions import InvalidStatus

from protocol.errors import CLOSES, CloseCode
from server.socket.connection import Connection
from tests.end_to_end.conftest import OpenWorld
from tests.harness.backend import POSTGRESQL, SQLITE, TWO_NODES
from tests.harness.peer import JSON, MSGPACK, Peer, chat
from tests.harness.people import BOB, CROWD, JANE
from tests.harness.waiting import until
from tests.harness.watch import Watch
from tests.harness.world import World

pytestmark = pytest.mark.usual_backends(SQLITE)

# 1000 and 1001


@pytest.mark.parametrize(("code", "answer"), [(1000, 1000), (1001, 1001), (3000, 1000), (4999, 1000)])
async def test_the_clients_close_is_answered(world: World, subprotocol: str, code: int, answer: int) -> None:
    jane = await world.join(JANE, subprotocol)
    await jane.close(code)
    assert jane.close_code == answer
    await until(lambda: not world.node.socket._sockets)


async def test_closing_before_hello_is_answered_too(world: World, subprotocol: str) -> None:
    peer = await world.connect(subprotocol)
    await peer.close()
    assert peer.close_code == 1000


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_a_connection_that_breaks_leaves_nothing_behind(world: World, subprotocol: str) -> None:
    for opened in (await world.join(JANE, subprotocol), await world.connect(subprotocol)):
        opened.cut()
    await until(lambda: not world.node.socket._sockets)
    assert len(world.node.hub) == 0
    assert world.node.socket.stats.closes[1006] == 2


# 1009


@pytest.mark.parametrize("before_hello", [True, False])
async def test_a_frame_of_128_kib_is_taken_and_one_byte_more_is_not(
    world: World, subprotocol: str, before_hello: bool
) -> None:
    peer = await world.connect(subprotocol)
    if not before_hello:
        await peer.hello(world.tokens.person(JANE))
    frame = b'{"type":"ping","x":"%s"}' if subprotocol == JSON else b"\x82\xa4type\xa4ping\xa1x\xdb%s"
    room = 128 * 1024 - len(frame % (b"" if subprotocol == JSON else b"____"))
    text = b"x" * room
    filled = frame % (text if subprotocol == JSON else room.to_bytes(4, "big") + text)
    assert len(filled) == 128 * 1024
    await peer.send_raw(filled if subprotocol == MSGPACK else filled.decode())
    assert (await peer.until_frame("error"))["code"] == "bad_frame"
    await peer.send_raw(filled + b"x" if subprotocol == MSGPACK else filled.decode() + "x")
    assert await peer.until_closed() == 1009


async def test_a_fragmented_message_is_measured_whole(world: World) -> None:
    jane = await world.join(JANE)

    async def fragments() -> object:
        for _ in range(129):
            yield "x" * 1024

    await jane.connection.send(fragments())  # type: ignore[arg-type]
    assert await jane.until_closed() == 1009


# 1011


async def test_a_fault_of_ours_closes_with_1011_and_the_others_go_on(
    world: World, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.expect("session failed")
    jane, bob = await world.join(JANE), await world.join(BOB)
    session = world.node.hub.get(jane.welcome["session_id"])

    def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(type(world.node.socket.frame_handler), "_received", broken)
    await jane.send("received", id=1)
    assert await jane.until_closed() == 1011
    assert "broken on purpose" not in jane.close_reason
    assert session is not None
    await bob.alive()


# 1013 and 503


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_a_full_node_refuses_upgrades_with_503_and_takes_them_again(open_: OpenWorld) -> None:
    world = await open_(max_sessions=3)
    peers = [await world.join(JANE) for _ in range(3)]
    with pytest.raises(InvalidStatus) as refused:
        await world.connect()
    response = refused.value.response
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    await peers[0].close()
    await until(lambda: len(world.node.socket._sockets) == 2)
    await (await world.join(JANE)).alive()


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_a_storm_does_not_get_past_the_limit_of_the_node(open_: OpenWorld) -> None:
    world = await open_(max_sessions=5)
    results = await asyncio.gather(*(world.connect() for _ in range(40)), return_exceptions=True)
    opened = [each for each in results if isinstance(each, Peer)]
    refused = [each for each in results if isinstance(each, InvalidStatus)]
    assert (len(opened), len(refused)) == (5, 35)


# 4400


@pytest.mark.parametrize("before_hello", [True, False])
async def test_the_twentieth_bad_frame_in_a_minute_ends_it(world: World, subprotocol: str, before_hello: bool) -> None:
    peer = await world.connect(subprotocol)
    if not before_hello:
        await peer.hello(world.tokens.person(JANE))
    for _ in range(19):
        await peer.send("nonsense")
    await peer.until(lambda p: len(p.of_type("error")) == 19)
    await peer.send("nonsense")
    assert await peer.until_closed() == 4400


async def test_refused_sends_are_no_bad_frames(world: World, subprotocol: str) -> None:
    jane = await world.join(JANE, subprotocol)
    for _ in range(30):
        assert (await jane.post(chat(BOB, JANE)))["code"] == "forbidden"
        assert (await jane.post(chat(JANE, 10**15)))["code"] == "not_found"
    await jane.alive()


# 4403


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("https://app.example", True),
        ("https://app.example:8443", False),
        ("http://app.example", False),
        ("https://evil.example", False),
        ("https://app.example.evil.example", False),
        ("null", False),
        ("", False),
    ],
)
async def test_browsers_come_from_the_list_or_the_same_host(
    open_: OpenWorld, subprotocol: str, origin: str | None, allowed: bool
) -> None:
    world = await open_(origins=("https://app.example",))
    headers = None if origin is None else {"Origin": origin}
    peer = await world.connect(subprotocol, headers=headers)
    if allowed:
        await peer.hello(world.tokens.person(JANE))
        await peer.alive()
    else:
        assert await peer.until_closed() == 4403


async def test_the_servers_own_page_may(world: World) -> None:
    peer = await world.connect(origin=world.url)
    await peer.hello(world.tokens.person(JANE))


# 4408


MANY, A_TURN = 12, 3


async def test_connections_that_end_together_are_closed_over_several_turns(
    open_: OpenWorld, subprotocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.socket.endpoint.CLOSED_PER_TURN", A_TURN)
    world = await open_(max_handshakes_per_address=MANY)
    turn, lost = 0, Counter[int]()
    end = Connection.lost

    def noted(self: Connection) -> None:
        lost[turn] += 1
        end(self)

    def next_turn() -> None:
        nonlocal turn
        turn += 1
        if lost.total() < MANY:
            asyncio.get_running_loop().call_soon(next_turn)

    monkeypatch.setattr(Connection, "lost", noted)
    people = CROWD[: MANY // 2]
    peers = [await world.join(person, subprotocol) for person in people]
    peers += [await world.connect(subprotocol) for _ in people]
    next_turn()
    for peer in peers:
        peer.cut()
    await until(lambda: not world.node.socket._sockets)
    assert lost.total() == MANY
    assert max(lost.values()) <= A_TURN
    assert not len(world.node.hub)


async def test_a_device_that_comes_again_before_its_old_connection_is_closed(
    open_: OpenWorld, subprotocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one gets a close frame that nobody reads, as any other whose peer has gone, and both leave nothing."""
    monkeypatch.setattr("server.socket.endpoint.CLOSED_PER_TURN", 0)  # it stays until the new session replaces it
    world = await open_()
    old = await world.join(JANE, subprotocol, device_id="phone")
    old.connection.transport.write_eof()
    await until(lambda: any(wire.over for wire in world.node.socket._sockets))
    new = await world.join(JANE, subprotocol, device_id="phone")
    await new.alive()
    assert await old.until_closed() == 4409
    await new.close()
    monkeypatch.setattr(world.node.socket._around.endings, "_per_turn", 1)
    await until(lambda: not world.node.socket._sockets)


@pytest.mark.parametrize("say", [[], ["nonsense"]])
async def test_no_hello_in_time(open_: OpenWorld, subprotocol: str, say: list[str]) -> None:
    world = await open_(hello_timeout_seconds=0.1)
    peer = await world.connect(subprotocol)
    for each in say:
        await peer.send(each)
    assert await peer.until_closed() == 4408


async def test_a_hello_in_time_is_not_reminded(open_: OpenWorld) -> None:
    world = await open_(hello_timeout_seconds=0.05, heartbeat_seconds=0.05)
    jane = await world.join(JANE)
    begun = world.node.socket.acceptor._timers.now()
    await until(lambda: world.node.socket.acceptor._timers.now() > begun + 0.1)
    await jane.alive()


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_a_peer_that_gives_no_life_sign_is_closed_and_one_that_answers_pings_is_not(
    open_: OpenWorld, subprotocol: str
) -> None:
    world = await open_(heartbeat_seconds=0.05, heartbeat_timeout_seconds=0.3)
    healthy = await world.join(BOB, subprotocol)
    # Deaf: it reads nothing, so it does not see the ping. Little is on its way to it: its socket is not full.
    deaf = await world.join(JANE, subprotocol)
    deaf.connection.transport.pause_reading()
    await until(lambda: not world.node.hub.sessions_of(JANE))
    deaf.connection.transport.resume_reading()
    assert await deaf.until_closed() == 4408
    await healthy.alive()


# 4409


@pytest.mark.backends(SQLITE, POSTGRESQL, TWO_NODES)
async def test_a_device_that_opens_a_newer_session_replaces_its_older_one(world: World, subprotocol: str) -> None:
    old = await world.join(JANE, subprotocol, device_id="phone")
    others = [
        await world.join(JANE, subprotocol, device_id="tablet"),
        await world.join(JANE, subprotocol),
        await world.join(BOB, subprotocol, device_id="phone"),
    ]
    new = await world.join(JANE, subprotocol, device_id="phone")
    assert await old.until_closed() == 4409
    for peer in (new, *others):
        await peer.alive()


@pytest.mark.backends(SQLITE, POSTGRESQL, TWO_NODES)
async def test_beyond_the_limit_of_a_person_the_oldest_goes(open_: OpenWorld) -> None:
    world = await open_(max_sessions_per_person=3)
    janes = [await world.join(JANE) for _ in range(3)]
    bob = await world.join(BOB)
    newest = await world.join(JANE)
    assert await janes[0].until_closed() == 4409
    for peer in (janes[1], janes[2], newest, bob):
        await peer.alive()


# 4429


async def test_too_many_frames_a_second(open_: OpenWorld, subprotocol: str) -> None:
    world = await open_(frame_rate_limit=50)
    jane, bob = await world.join(JANE, subprotocol), await world.join(BOB, subprotocol)
    for _ in range(200):
        if jane.closed:
            break
        await jane.send("ping")
    assert await jane.until_closed() == 4429
    await bob.alive()


async def test_control_frames_count_as_well(open_: OpenWorld) -> None:
    world = await open_(frame_rate_limit=50)
    jane = await world.join(JANE)
    for _ in range(200):
        if jane.closed:
            break
        await jane.connection.ping()
    assert await jane.until_closed() == 4429


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_too_many_unfinished_handshakes_of_one_address(open_: OpenWorld) -> None:
    world = await open_(max_handshakes_per_address=3)
    waiting = [await world.connect() for _ in range(3)]
    one_more = await world.connect()
    assert await one_more.until_closed() == 4429
    await waiting[0].hello(world.tokens.person(JANE))
    await waiting[1].close()
    await until(lambda: len(world.node.socket._sockets) == 2)
    for _ in range(2):
        await (await world.connect()).send("nonsense")
    assert await (await world.connect()).until_closed() == 4429
    await waiting[0].alive()


async def test_every_close_code_is_shown_here_or_beside() -> None:
    assert set(CLOSES) == set(CloseCode)
    shown = {1000, 1001, 1009, 1011, 1013, 4400, 4401, 4403, 4408, 4409, 4429}
    assert {int(code) for code in CLOSES} == shown
