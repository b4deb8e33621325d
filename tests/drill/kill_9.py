"""Row 1: `kill -9` at random moments under load. What was acknowledged is there once, and no id is given twice."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from contextlib import closing
from pathlib import Path

from tests.drill.drills import Drill, Report
from tests.harness.node import Tokens, node_process
from tests.harness.peer import Peer, chat, peer
from tests.harness.people import BOB, JANE, database_path, make_directory

SENDS = 500
"""Sends of one round. The node is killed after a random number of its frames has come."""


class Ledger:
    """What the senders were told: the id of each message id; and what they do not know yet and send again."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, int] = {}
        self.unknown: list[str] = []
        self.contradicted = 0

    def take(self, message_id: str, id: int) -> None:
        if self.acknowledged.setdefault(message_id, id) != id:
            self.contradicted += 1


async def kill_9(rounds: int) -> Report:
    """``rounds`` times: start, send, kill at a random moment. Then look at the file."""
    ledger = Ledger()
    with tempfile.TemporaryDirectory() as folder:
        data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
        for _ in range(rounds):
            async with node_process(data_dir, send_rate_limit=1_000_000, frame_rate_limit=1_000_000) as node:
                async with peer(node.url) as jane:
                    await jane.hello(Tokens(data_dir).person(JANE))
                    await _send(jane, ledger, random.randrange(1, SENDS))
                    await node.kill()
                    await jane.until_closed()
                _read(jane, ledger)
        return _looked_at(database_path(data_dir), ledger)


async def _send(jane: Peer, ledger: Ledger, until: int) -> None:
    """Send what is unknown again and as many new ones as make a round; return when ``until`` frames have come."""
    ids = ledger.unknown + [str(uuid.uuid4()) for _ in range(SENDS - len(ledger.unknown))]
    ledger.unknown = ids
    for message_id in ids:
        await jane.send("send", ref=message_id, activity=chat(JANE, BOB, message_id=message_id))
    await jane.until(lambda seen: len(seen.frames) > until)


def _read(jane: Peer, ledger: Ledger) -> None:
    for ack in jane.of_type("ack"):
        ledger.take(ack["ref"], ack["id"])
    ledger.unknown = [message_id for message_id in ledger.unknown if message_id not in ledger.acknowledged]


def _looked_at(path: Path, ledger: Ledger) -> Report:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT id, message_id FROM activity").fetchall()
        [sound] = connection.execute("PRAGMA integrity_check").fetchone()
        [head] = connection.execute("SELECT head FROM log").fetchone()
    stored: dict[str, list[int]] = {}
    for id, message_id in rows:
        stored.setdefault(message_id, []).append(id)
    return Report(
        {
            "lost": sum(message_id not in stored for message_id in ledger.acknowledged),
            "doubled": sum(len(ids) > 1 for ids in stored.values()),
            "under another id": sum(id not in stored.get(key, [id]) for key, id in ledger.acknowledged.items()),
            "acknowledged with two ids": ledger.contradicted,
            "beyond the head": sum(id > head for id, _ in rows),
            "damage": int(sound != "ok"),
        },
        control=_control(),
        seen={"acknowledged": len(ledger.acknowledged), "stored": len(stored)},
    )


_HASTY = """
import sqlite3, sys
log = sqlite3.connect(sys.argv[1])
log.execute("CREATE TABLE IF NOT EXISTS activity (id INTEGER PRIMARY KEY)")
for number, line in enumerate(sys.stdin):
    log.execute("INSERT INTO activity VALUES (?)", (int(line),))
    print(line.strip(), flush=True)  # acknowledged, and not committed
    if number % 50 == 49:
        log.commit()
"""


def _control() -> int:
    """How many acknowledged rows a log loses that acknowledges before it commits, killed the same way."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hasty.db"
        with subprocess.Popen(
            [sys.executable, "-c", _HASTY, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as hasty:
            assert hasty.stdin is not None
            assert hasty.stdout is not None
            hasty.stdin.write("".join(f"{number}\n" for number in range(120)))
            hasty.stdin.flush()
            acknowledged = [hasty.stdout.readline() for _ in range(120)]
            hasty.kill()
        with closing(sqlite3.connect(path)) as connection:
            [stored] = connection.execute("SELECT count(*) FROM activity").fetchone()
    return len(acknowledged) - int(stored)


DRILLS = (Drill(1, "kill -9 at random moments under load, SQLite", kill_9, short=20, full=500),)
