"""Row 20: one person asks for a history twenty times over HTTP and twenty times by socket, and reads none of it.

The node grows by less than 64 MiB, look-ups and other people are served, and a reader that continues gets everything.
Half of the history is control characters, six bytes each in JSON; the other half does not shrink when it is compressed.
The control holds what a node held before pages ended at their bytes: for each reader a page of 1,000 rows, as it was
read and as it was encoded.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from local_servers.postgres import FLEETING
from protocol.activity import ActivityType
from protocol.codec import JSON as JSON_CODEC
from protocol.names import nameless
from server.live.parties import PartyName
from storage.contract import ActivityLog, Posting, Range
from storage.opening import open_storage
from tests.drill.child import Child, child
from tests.drill.drills import Drill, Report, advance
from tests.harness.backend import Backend, note, noted
from tests.harness.cluster import new_database
from tests.harness.node import Tokens
from tests.harness.peer import JSON, MSGPACK, Peer, peer
from tests.harness.people import BOB, JANE, make_directory
from tests.harness.unread import Unread, unread
from tests.servers.postgres import PostgresServer

READERS = 20
MOST_GROWTH_BYTES = 64 * 1024 * 1024
MOST_LOOK_UP_SECONDS = 0.020
"""Their p99, or twice what it is without the readers where the machine itself is slower."""
FULL = 1_000
_UNDER_WAY = 4
_READ_SECONDS = 600
"""For a whole history of the full size, on a busy machine."""
_SEND_BUFFER = _RECEIVE_BUFFER = 32 * 1024
_LOOK_UPS, _FEW_LOOK_UPS = 2_000, 20
_LOOK_UP = "/apps/buzz/trust-lookup?number_code=1&number=2385551629&inbound_code=1&inbound=9876543210"
_CODINGS = ("identity", "gzip", "zstd")
_OLD_PAGE_ROWS = 1_000


async def run_sqlite(messages: int) -> Report:
    """On SQLite."""
    with tempfile.TemporaryDirectory(prefix="buzz-unread-") as folder:
        return await _run(await asyncio.to_thread(make_directory, Path(folder) / "data"), messages)


async def run_postgresql(messages: int) -> Report:
    """On PostgreSQL."""
    server = await asyncio.to_thread(lambda: PostgresServer(FLEETING))
    await asyncio.to_thread(server.start)
    try:
        with tempfile.TemporaryDirectory(prefix="buzz-unread-") as folder:
            note(Path(folder), Backend(database_url=await new_database(server)))
            return await _run(Path(folder), messages)
    finally:
        await asyncio.to_thread(server.close)


async def _run(data_dir: Path, messages: int) -> Report:
    async with _log(data_dir) as log:
        await _write(log, messages)
        control = await _held_before(log)
    more = {**noted(data_dir).settings, "send_buffer": _SEND_BUFFER, "max_sessions_per_person": READERS}
    settings = {name: value for name, value in more.items() if value is not None}
    async with child(data_dir, heartbeat_seconds=600, **settings) as node, AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(node.url))
        tokens = Tokens(data_dir)
        await _warm_up(http, tokens, node)
        alone = await _look_ups(http, tokens, messages)
        before = (await node.look())["memory"]
        answers, peers = await _readers(node, tokens, stack)
        beside = await _look_ups(http, tokens, messages)
        grown = (await node.look())["memory"] - before
        lost = await _lost(answers, peers, messages)
    counts = {
        "bytes too many": max(0, grown - MOST_GROWTH_BYTES),
        "histories under way too many": max(0, sum(each.status == 200 for each in answers) - _UNDER_WAY),
        "refused otherwise than with 429": sum(each.status not in (200, 429) for each in answers),
        "activities lost": lost,
    }
    if messages >= FULL:
        counts["look-ups too slow"] = int(beside > max(MOST_LOOK_UP_SECONDS, 2 * alone))
    seen = {"MiB more": grown / 2**20, "look-up p99 alone, ms": alone * 1e3, "beside them, ms": beside * 1e3}
    return Report(counts, control, seen)


@asynccontextmanager
async def _log(data_dir: Path) -> AsyncIterator[ActivityLog]:
    async with open_storage(data_dir, noted(data_dir).database_url, 3) as (_, log):
        yield log


async def _write(log: ActivityLog, messages: int) -> None:
    for number in range(messages):
        text = base64.b64encode(os.urandom(49_152)).decode() if number % 2 else "\x01" * 65_536
        chat = ActivityType.chat_message
        await log.append([Posting(chat, BOB, JANE, BOB, None, text, str(uuid.uuid4()), 1_720_181_685_000)])
        advance()


async def _held_before(log: ActivityLog) -> int:
    """The bytes that pages bounded in rows hold, where that is more than the node may grow by; 0 where it is not."""
    name, held = PartyName.of(nameless(JANE)), list[str | bytes]()
    for _ in range(READERS):
        [page] = await log.read([Range((JANE,), limit=_OLD_PAGE_ROWS, max_bytes=2**40)])
        held += [row.message or "" for row in page.rows]
        held.append(b",".join(JSON_CODEC.activity(row, name, name) for row in page.rows))
        if (size := sum(map(sys.getsizeof, held))) > 2 * MOST_GROWTH_BYTES:
            break
    return size if size > MOST_GROWTH_BYTES else 0


async def _warm_up(http: aiohttp.ClientSession, tokens: Tokens, node: Child) -> None:
    """Each way once to its end: what the first one of its kind loads is not what the readers cost."""
    jane = {"Authorization": f"Bearer {tokens.person(JANE)}"}
    for coding in _CODINGS:
        async with http.get("/apps/buzz/activity/0", headers={**jane, "Accept-Encoding": coding}) as answer:
            async for _ in answer.content.iter_any():
                pass
    for subprotocol in (JSON, MSGPACK):
        async with peer(node.url, subprotocol) as opened:
            await opened.hello(tokens.person(JANE), last_activity_id=0)
            await opened.until(lambda each: each.find("caught_up"), _READ_SECONDS)


async def _readers(node: Child, tokens: Tokens, stack: AsyncExitStack) -> tuple[list[Unread], list[Peer]]:
    token = tokens.person(JANE)
    answers = [
        await stack.enter_async_context(unread(node.url, "/apps/buzz/activity/0", token, _CODINGS[number % 3]))
        for number in range(READERS)
    ]
    peers = []
    for number in range(READERS):
        subprotocol = (JSON, MSGPACK)[number % 2]
        opened = await stack.enter_async_context(peer(node.url, subprotocol, receive_buffer=_RECEIVE_BUFFER))
        await opened.hello(token, last_activity_id=0)
        opened.stall()
        peers.append(opened)
    return answers, peers


async def _look_ups(http: aiohttp.ClientSession, tokens: Tokens, messages: int) -> float:
    """The p99 of look-ups one after another, in seconds."""
    headers = {"Authorization": f"Bearer {tokens.service('lookup')}"}
    times = []
    for _ in range(_LOOK_UPS if messages >= FULL else _FEW_LOOK_UPS):
        begun = time.perf_counter()
        async with http.get(_LOOK_UP, headers=headers) as answer:
            assert answer.status == 200
            await answer.read()
        times.append(time.perf_counter() - begun)
    return sorted(times)[int(len(times) * 0.99)]


async def _lost(answers: list[Unread], peers: list[Peer], messages: int) -> int:
    """One of each kind reads on: how many activities did not come, or not in order."""
    wanted = list(range(1, messages + 1))
    plain = next(each for each in answers if each.status == 200 and "content-encoding" not in each.headers)
    found = [[row["id"] for row in json.loads(await plain.rest(_READ_SECONDS))]]
    for each in peers[:2]:
        each.wake()
        await each.until(lambda p: p.find("caught_up"), _READ_SECONDS)
        found.append(each.ids)
    return sum(len(wanted) - sum(a == b for a, b in zip(ids, wanted, strict=False)) for ids in found)


DRILLS = (
    Drill(20, "unread histories, SQLite", run_sqlite, short=60, full=FULL, unit="messages"),
    Drill(20, "unread histories, PostgreSQL", run_postgresql, short=60, full=FULL, unit="messages"),
)
