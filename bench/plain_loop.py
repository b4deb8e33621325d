"""Two controls without a server: plain loops over the same data, each in a process of its own.

`python -m bench.plain_loop read DATABASE CODEC` reads every activity of a log and encodes it as `GET activity/<id>`
would; `python -m bench.plain_loop import FILE` decodes the lines of a directory and stores them in one table. Each
prints the seconds it took.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.cores import pinned_to
from bench.load.frames import Codec
from bench.process import REPOSITORY, BenchFault, module

_PARTY_TYPE = "AppModelsPerson"
_READ = "SELECT id, type, sender, receiver, call_time, message, message_id, created_at_ms FROM activity ORDER BY id"


def read_and_encode(database: Path, codec: Codec) -> float:
    """Do the minimum of a catch-up for each activity: fetch the row, build the object, encode it."""
    encode: Callable[[object], bytes] = (
        msgspec.json.Encoder().encode if codec == "json" else msgspec.msgpack.Encoder().encode
    )
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    started_at = time.perf_counter()
    for number, _, sender, receiver, call_time, message, message_id, created_at_ms in connection.execute(_READ):
        encode(
            {
                "id": number,
                "type": "chat_message",
                "receivable_type": _PARTY_TYPE,
                "receivable_id": receiver,
                "sendable_type": _PARTY_TYPE,
                "sendable_id": sender,
                "call_time": call_time,
                "message": message,
                "message_id": message_id,
                "created_at": created_at_ms,
                "sendable": {"id": sender, "first_name": "Given", "middle_name": None, "last_name": "Family"},
                "receivable": {"id": receiver, "first_name": "Given", "middle_name": None, "last_name": "Family"},
            }
        )
    return time.perf_counter() - started_at


def decode_and_store(lines: Path) -> float:
    """Do the minimum of an import: decode each line, insert it, commit."""
    decode = msgspec.json.Decoder().decode
    with tempfile.TemporaryDirectory(dir=lines.parent) as folder:
        started_at = time.perf_counter()
        connection = sqlite3.connect(Path(folder) / "plain.sqlite3")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE item (kind TEXT, id INTEGER, line BLOB)")
        with lines.open("rb") as file, connection:
            connection.executemany(
                "INSERT INTO item VALUES (?, ?, ?)",
                ((item["kind"], item.get("id"), line) for line in file for item in [decode(line)]),
            )
        return time.perf_counter() - started_at


async def run(core: int, *arguments: str) -> float:
    """Run one of the loops on `core`; returns its seconds."""
    with pinned_to(core):
        process = await asyncio.create_subprocess_exec(
            *module("bench.plain_loop", *arguments), cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
        )
    output, _ = await process.communicate()
    if process.returncode:
        raise BenchFault(f"the plain loop {arguments} failed")
    return float(output)


if __name__ == "__main__":
    if sys.argv[1] == "read":
        print(read_and_encode(Path(sys.argv[2]), "json" if sys.argv[3] == "json" else "msgpack"))
    else:
        print(decode_and_store(Path(sys.argv[2])))
