"""Row 11: frames and bodies that are random, or good ones with something changed.

Decoding refuses or accepts, and raises nothing else; a server that gets them over sockets and HTTP answers each with
what is documented, is at fault for none, and leaves no task, session or handshake behind. The control is a naive
reader: it assumes that everything that can be decoded is a map with a type.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgpack

from protocol.activity import read_new_activity
from protocol.codec import CODECS, Undecodable
from protocol.errors import ApiError
from tests.drill.drills import Drill, Report, advance, done_before
from tests.drill.mutation import changed, damaged
from tests.harness.peer import JSON, MSGPACK, chat
from tests.harness.people import BOB, JANE, make_directory
from tests.harness.raw_socket import BINARY, CLOSE, TEXT, frame, raw_socket
from tests.harness.waiting import until
from tests.harness.watch import watched
from tests.harness.world import World, open_world

GOOD: tuple[dict[str, Any], ...] = (
    {"type": "hello", "token": "x", "device_id": "d", "last_activity_id": 0, "epoch": "e", "resume_id": "s", "ref": 1},
    {"type": "send", "ref": "r", "activity": chat(JANE, BOB, "é🐝", call_time=1, idempotency_key="k")},
    {"type": "received", "id": 1},
    {"type": "typing", "to": {"type": "person", "id": BOB}},
    {"type": "refresh", "token": "x"},
    {"type": "ping", "ref": 2},
)
DOCUMENTED_CLOSES = {1000, 1002, 1007, 1009, 4400, 4401, 4429}
FRAMES_OF_A_SOCKET = 40


async def run(messages: int) -> Report:
    """``messages`` to the codecs and bodies, and a tenth as many to a running server."""
    chance = random.Random(messages + done_before())
    counts, seen = Counter[str](), Counter[str]()
    control = 0
    for _ in range(messages):
        counts["decoding raised something else"] += _decode(chance, seen)
        control += _surprises_the_naive(mutated(chance, binary=False))
        advance()
    with tempfile.TemporaryDirectory(prefix="buzz-fuzz-") as folder:
        data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
        async with watched(), open_world(data_dir, send_rate_limit=10**6) as world:
            before = len(asyncio.all_tasks())
            for _ in range(messages // 10 // FRAMES_OF_A_SOCKET):
                await _socket(world, chance, counts, seen)
            for _ in range(messages // 100):
                await _body(world, chance, counts, seen)
            await until(lambda: not world.node.socket._sockets)
            counts["sessions left behind"] = len(world.node.hub)
            counts["handshakes left behind"] = len(world.node.socket.acceptor._unfinished)
            await until(lambda: len(asyncio.all_tasks()) <= before + 2)
    return Report(dict(counts), control, dict(seen))


def mutated(chance: random.Random, binary: bool) -> bytes:
    """A frame that may be good, may be nearly good, or may be anything."""
    value = changed(chance, chance.choice(GOOD))
    try:
        data: bytes = msgpack.packb(value) if binary else json.dumps(value).encode()
    except (OverflowError, UnicodeEncodeError):
        data = b"\x80"
    return damaged(chance, data) if chance.random() < 0.5 else data


def _surprises_the_naive(data: bytes) -> bool:
    try:
        json.loads(data)["type"].removeprefix("")
    except ValueError:
        return False
    except Exception:  # noqa: BLE001 - whatever it is, nobody would have caught it
        return True
    return False


def _decode(chance: random.Random, seen: Counter[str]) -> bool:
    codec = chance.choice(list(CODECS.values()))
    data = mutated(chance, codec.binary)
    try:
        codec.encode(_echo(codec.decode(data)))
        seen["taken"] += 1
    except (ApiError, Undecodable) as error:
        seen[type(error).__name__] += 1
        ref = getattr(error, "ref", None)
        codec.encode({"ref": ref, "message": str(error)})  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 - what else it raises is what is looked for
        print(f"{type(error).__name__}: {error} for {data!r:.200}")
        return True
    return False


def _echo(decoded: Any) -> Any:
    return {"ref": decoded.ref}


async def _socket(world: World, chance: random.Random, counts: Counter[str], seen: Counter[str]) -> None:
    subprotocol = chance.choice([JSON, MSGPACK])
    async with raw_socket(world.url, subprotocol) as raw:
        if chance.random() < 0.8:
            await raw.send({"type": "hello", "token": world.tokens.person(JANE), "device_id": "d"})
        for _ in range(FRAMES_OF_A_SOCKET):
            opcode = TEXT if (subprotocol == JSON) == (chance.random() < 0.98) else BINARY
            data = frame(opcode, mutated(chance, subprotocol == MSGPACK))
            await raw.write(damaged(chance, data) if chance.random() < 0.02 else data)
        await raw.write(frame(CLOSE, (1000).to_bytes(2, "big")))
        while (found := await raw.read()) is not None:
            if found.opcode == CLOSE:
                code = int.from_bytes(found.payload[:2], "big")
                seen[f"closed {code}"] += 1
                counts["closed with another code"] += code not in DOCUMENTED_CLOSES
            elif b"internal" in found.payload[:60]:
                counts["answered internal"] += 1


async def _body(world: World, chance: random.Random, counts: Counter[str], seen: Counter[str]) -> None:
    data = mutated(chance, binary=False)
    if chance.random() < 0.7:
        activity = GOOD[1]["activity"]
        data = json.dumps(changed(chance, {k: v for k, v in activity.items() if k != "idempotency_key"})).encode()
    try:
        read_new_activity(data)
    except ApiError as error:
        seen[f"body {error.code}"] += 1
    path = chance.choice(["/apps/buzz/activity", "/apps/buzz/encryption", "/apps/buzz/public-key"])
    method = "POST" if path.endswith("activity") else "PUT"
    answer = await world.http(JANE)(method, path, data=data, headers={"Content-Type": "application/json"})
    seen[f"HTTP {answer.status}"] += 1
    counts["HTTP 5xx"] += answer.status >= 500


DRILLS = (Drill(11, "fuzz: frames and bodies", run, short=20_000, full=1_000_000, unit="messages"),)
