"""A peer that reads slowly, or not at all for a while, uses no memory, is not disconnected, and gets everything."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from protocol.activity import ActivityType
from server.live.session import Session
from storage.contract import Posting
from tests.end_to_end.conftest import OpenWorld
from tests.harness.peer import WAIT_SECONDS, Peer, chat
from tests.harness.people import BOB, CROWD, JANE
from tests.harness.waiting import until
from tests.harness.world import World

LARGE = "x" * 60_000
MESSAGES = 30
"""Nearly 2 MB: more than these kernels' buffers and the server's hold."""
SEND_BUFFER = RECEIVE_BUFFER = 32 * 1024


def large(count: int) -> list[Posting]:
    return [
        Posting(ActivityType.chat_message, BOB, JANE, BOB, None, LARGE, str(uuid.uuid4()), 1_720_181_685_000)
        for _ in range(count)
    ]


def session_of(world: World, peer: Peer) -> Session:
    [found] = filter(None, (running.node.hub.get(peer.welcome["session_id"]) for running in world.nodes))
    return found


def kept_for(session: Session) -> int:
    """Bytes that the server itself keeps for the session: its write buffer and what waits for a flush."""
    return session.wire._transport.get_write_buffer_size() + sum(map(len, session.outbox))


@pytest.mark.parametrize("ring_size", [4_096, 8], ids=["from the ring", "from the log"])
async def test_a_stalled_reader_of_live_activity_gets_everything_when_it_wakes(
    open_: OpenWorld, subprotocol: str, ring_size: int
) -> None:
    world = await open_(
        send_buffer=SEND_BUFFER, ring_size=ring_size, heartbeat_seconds=0.05, heartbeat_timeout_seconds=0.2
    )
    stalled = await world.join(JANE, subprotocol, last=0, receive_buffer=RECEIVE_BUFFER)
    healthy = await world.join(JANE, subprotocol, last=0)
    stalled.stall()
    await world.running.append(large(MESSAGES), each=4)
    await healthy.until(lambda peer: len(peer.ids) == MESSAGES)
    session = session_of(world, stalled)
    assert not session.live
    assert session.wire.paused
    assert kept_for(session) < 512 * 1024
    assert len(stalled.ids) < MESSAGES
    bob = await world.join(BOB)
    await bob.post(chat(BOB, JANE))
    await healthy.until_ids(MESSAGES + 1)
    stalled.wake()
    await stalled.until_ids(MESSAGES + 1)
    assert stalled.ids == list(range(1, MESSAGES + 2))
    await stalled.alive()
    assert session_of(world, stalled).live


async def test_a_stalled_backlog_is_read_from_the_log_page_by_page(open_: OpenWorld, subprotocol: str) -> None:
    world = await open_(send_buffer=SEND_BUFFER, ring_size=1)
    await world.running.append(large(MESSAGES), each=10)
    stalled = await world.join(JANE, subprotocol, last=0, receive_buffer=RECEIVE_BUFFER)
    stalled.stall()
    session = session_of(world, stalled)
    healthy = await world.join(BOB, last=0)
    await healthy.until_frame("caught_up")
    await until(lambda: session.wire.paused)
    assert kept_for(session) < 512 * 1024
    stalled.wake()
    await stalled.until_frame("caught_up")
    assert stalled.ids == list(range(1, MESSAGES + 1))


async def test_stalled_readers_do_not_hold_up_the_others(open_: OpenWorld) -> None:
    world = await open_(send_buffer=SEND_BUFFER, max_sessions_per_person=100)
    stalled = [await world.join(JANE, receive_buffer=RECEIVE_BUFFER) for _ in range(10)]
    for peer in stalled:
        peer.stall()
    healthy = await world.join(JANE)
    await world.running.append(large(MESSAGES), each=8)
    await healthy.until(lambda peer: len(peer.ids) == MESSAGES)
    assert sum(kept_for(session_of(world, peer)) for peer in stalled) < 10 * 512 * 1024
    for peer in stalled:
        peer.wake()
    for peer in stalled:
        await peer.until(lambda p: len(p.ids) == MESSAGES)
        assert peer.ids == list(range(1, MESSAGES + 1))


async def test_who_does_not_read_its_answers_is_not_read_either(open_: OpenWorld) -> None:
    world = await open_(send_buffer=SEND_BUFFER, frame_rate_limit=1_000_000)
    jane = await world.join(JANE, receive_buffer=RECEIVE_BUFFER)
    session = session_of(world, jane)
    [node] = [running.node for running in world.nodes if running.node.hub.get(session.id) is session]
    jane.stall()
    sent = 0
    async with asyncio.timeout(WAIT_SECONDS):
        while not session.wire.paused:
            await jane.send("ping", ref="r" * 64)
            sent += 1
            # The server's turn: a peer that filled every buffer at once would wait for ever to send more.
            while not session.wire.paused and node.socket.stats.frames_in <= sent:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0)
    read = node.socket.stats.frames_in
    for _ in range(200):
        await jane.send("ping", ref="r" * 64)
        sent += 1
    assert node.socket.stats.frames_in <= read + 1
    assert kept_for(session) < 256 * 1024
    jane.wake()
    await jane.until(lambda peer: len(peer.of_type("pong")) == sent)
    await jane.alive()


async def test_an_event_for_a_full_socket_is_dropped_and_its_activities_are_not(open_: OpenWorld) -> None:
    world = await open_(send_buffer=SEND_BUFFER)
    jane = await world.join(JANE, last=0, receive_buffer=RECEIVE_BUFFER)
    bob = await world.join(BOB)
    jane.stall()
    await world.running.append(large(MESSAGES), each=8)
    assert session_of(world, jane).wire.paused
    await bob.send("typing", to={"type": "person", "id": JANE})
    await bob.alive()
    jane.wake()
    await jane.until(lambda peer: len(peer.ids) == MESSAGES)
    await jane.alive()
    assert jane.events("typing") == []


async def test_a_stalled_session_can_be_replaced_and_closed(open_: OpenWorld) -> None:
    world = await open_(send_buffer=SEND_BUFFER)
    jane = await world.join(JANE, receive_buffer=RECEIVE_BUFFER, device_id="phone")
    jane.stall()
    await world.running.append(large(MESSAGES), each=8)
    again = await world.join(JANE, last=0, device_id="phone")
    await again.until(lambda peer: len(peer.ids) == MESSAGES)
    jane.wake()
    assert await jane.until_closed() == 4409
    assert sum(len(running.node.hub.sessions_of(JANE)) for running in world.nodes) == 1


async def test_the_crowd_is_served_while_one_is_stalled(open_: OpenWorld) -> None:
    world = await open_(send_buffer=SEND_BUFFER)
    stalled = await world.join(JANE, receive_buffer=RECEIVE_BUFFER)
    stalled.stall()
    await world.running.append(large(MESSAGES), each=8)
    first, second = await world.join(CROWD[0]), await world.join(CROWD[1])
    ack = await first.post(chat(CROWD[0], CROWD[1]))
    await second.until_ids(ack["id"])
    stalled.wake()
