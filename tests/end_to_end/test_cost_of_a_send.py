"""What a send may cost, in counts that no machine changes: statements, encodes, writes, system calls, memory.

The bench measures time; these fail at once, on any machine, when somebody adds a statement, an encode or a write to
each activity. Fifty sends arrive in one piece, so that they are committed together.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from bench.load.frames import Codec, send_template
from protocol.codec import JsonCodec, MsgpackCodec
from server.live.wire import Wire
from server.socket.connection import Connection
from storage.sqlite.database import SqliteDatabase
from tests.fakes.push_service import push_service
from tests.harness.backend import SQLITE
from tests.harness.node import Tokens, node_process
from tests.harness.peer import JSON, MSGPACK, Peer, peer
from tests.harness.people import BOB, JANE
from tests.harness.waiting import until
from tests.harness.world import World

SENDS = 50
MOST_COMMITS = 3
"""All at once is one commit; a read that the kernel splits may make it two or three."""
OpenWorld = Callable[..., Awaitable[World]]
CODECS: dict[str, Codec] = {JSON: "json", MSGPACK: "msgpack"}


async def send_all(sender: Peer, subprotocol: str, first: int = 1) -> None:
    """Fifty sends to Bob in one write, and wait until all are acknowledged."""
    template = send_template(CODECS[subprotocol], JANE, BOB)
    acked = len(sender.of_type("ack"))
    sender.connection.transport.write(b"".join(template.number(first + number) for number in range(SENDS)))
    await sender.until(lambda seen: len(seen.of_type("ack")) == acked + SENDS)
    assert not sender.of_type("error")


@pytest.mark.backends(SQLITE)
async def test_statements_are_a_few_a_commit(world: World) -> None:
    jane = await world.join(JANE, MSGPACK)
    await send_all(jane, MSGPACK)  # names, conversation and statements are known from here on
    statements = list[str]()
    database = world.node.database

    def traced(event: dict[str, str]) -> None:
        statements.append(event["sql"])

    assert isinstance(database, SqliteDatabase)
    await database.write(lambda connection: connection.trace_v2(apsw.SQLITE_TRACE_STMT, traced))
    statements.clear()
    commits = world.node.log.commits
    await send_all(jane, MSGPACK, SENDS + 1)
    commits = world.node.log.commits - commits
    kinds = Counter(statement.split()[0] for statement in statements)
    assert commits <= MOST_COMMITS
    # Rows are stored by powers of two: 32 + 16 + 2 of fifty. Then: BEGIN, the log's state, its head, COMMIT.
    assert kinds["INSERT"] <= SENDS.bit_length() * commits, kinds
    assert kinds.total() - kinds["INSERT"] <= 4 * commits, kinds


@pytest.mark.backends(SQLITE)
async def test_nothing_is_written_for_a_device_that_sleeps_and_was_woken(world: World) -> None:
    """The push is of the first send. Fifty more cost what they cost without a device that sleeps."""
    async with push_service() as service:
        body = service.subscribe("phone").registration("phone")
        assert (await world.http(BOB)("PUT", "/apps/buzz/push", json=body)).status == 200
        jane = await world.join(JANE, MSGPACK)
        await send_all(jane, MSGPACK)
        await service.until(lambda s: s.counts()["phone"] == 1)
        pushes = world.node.push
        await until(lambda: not len(pushes.dispatcher))
        statements = list[str]()
        database = world.node.database
        assert isinstance(database, SqliteDatabase)
        await database.write(
            lambda connection: connection.trace_v2(
                apsw.SQLITE_TRACE_STMT, lambda event: statements.append(event["sql"])
            )
        )
        rounds = pushes.decider.rounds
        await send_all(jane, MSGPACK, SENDS + 1)
        await until(lambda: pushes.decider.rounds > rounds + 1)
        assert [statement for statement in statements if "push_registration" in statement] == []
        assert service.counts() == {"phone": 1}


async def test_an_activity_is_encoded_once_for_each_subprotocol_and_a_socket_written_once_a_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    jane = await world.join(JANE, MSGPACK)
    others = [await world.join(BOB, subprotocol) for subprotocol in (JSON, MSGPACK, JSON, MSGPACK)]
    encoded, written = Counter[str](), Counter[Wire]()
    for codec in (JsonCodec, MsgpackCodec):
        monkeypatch.setattr(codec, "activity", counted(codec.activity, encoded, codec.name))
    monkeypatch.setattr(Wire, "write", counted_by_first(Wire.write, written))
    commits = world.node.log.commits
    await send_all(jane, MSGPACK)
    for other in others:
        await other.until(lambda seen: len(seen.ids) == SENDS)
    commits = world.node.log.commits - commits
    assert encoded == {JSON: SENDS, MSGPACK: SENDS}
    assert len(written) == 1 + len(others)
    assert all(writes <= commits for writes in written.values()), (written.values(), commits)


async def test_system_calls_that_write_are_few_an_activity(data_dir: Path) -> None:
    """The kernel's own count (`syscw` of /proc/PID/io: proc(5)): the log's pages, the sockets, the wake-ups."""
    async with node_process(data_dir) as node:
        token = Tokens(data_dir).person(JANE)
        async with peer(node.url, MSGPACK) as jane:
            await jane.hello(token)
            await send_all(jane, MSGPACK)
            before = writes_of(node.process.pid)
            await send_all(jane, MSGPACK, SENDS + 1)
            writes = writes_of(node.process.pid) - before
    assert writes <= SENDS // 2, f"{writes} writing system calls for {SENDS} sends"


async def test_a_send_leaves_little_behind(open_: OpenWorld) -> None:
    """What stays of a send is its place in the ring, in a bounded number of blocks of the interpreter's memory."""
    world = await open_(send_rate_limit=1_000)
    jane = await world.join(JANE, MSGPACK)
    await send_all(jane, MSGPACK)
    kept = blocks(jane)
    for round_number in range(1, 5):
        await send_all(jane, MSGPACK, 1 + round_number * SENDS)
    each = (blocks(jane) - kept) / (4 * SENDS)
    assert each <= 15, f"{each:.1f} blocks a send"


async def test_a_session_that_was_cut_leaves_nothing_to_the_collector(world: World) -> None:
    """A cycle for each session is found by the collector alone, a second's pause after a storm."""
    gc.collect()
    gc.disable()
    try:
        peers = [await world.join(person, JSON) for person in (JANE, BOB) for _ in range(3)]
        assert sum(isinstance(each, Connection) for each in gc.get_objects()) >= len(peers)
        for each in peers:
            each.cut()
        await until(lambda: not any(isinstance(each, Connection) for each in gc.get_objects()))
    finally:
        gc.enable()


def blocks(sender: Peer) -> int:
    """The interpreter's allocated blocks, without what the test itself has recorded."""
    sender.frames.clear()
    sender.sizes.clear()
    gc.collect()
    return sys.getallocatedblocks()


def writes_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("syscw:")).split()[1])


def counted(function: object, counts: Counter[str], name: str) -> object:
    """`function`, counting its calls under `name`."""

    def counting(*arguments: object) -> object:
        counts[name] += 1
        return function(*arguments)  # type: ignore[operator]

    return counting


def counted_by_first(function: object, counts: Counter[Wire]) -> object:
    """`function`, counting its calls by their first argument."""

    def counting(first: Wire, *arguments: object) -> object:
        counts[first] += 1
        return function(first, *arguments)  # type: ignore[operator]

    return counting
