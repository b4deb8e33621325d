"""Row 1: `kill -9` at random moments under load. What was acknowledged is there once, and no id is given twice."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
import uuid
from contextlib import closing
from pathlib import Path

from storage.sqlite.connection import connect
from tests.drill.drills import Drill, Report, advance
from tests.harness.backend import rows
from tests.harness.node import Tokens, node_process
from tests.harness.peer import Peer, chat, peer
from tests.harness.people import BOB, JANE, database_path, make_directory

SHORT, FULL = 6, 500
UNLIMITED = {"send_rate_limit": 1_000_000, "frame_rate_limit": 1_000_000}


def sends(rounds: int) -> int:
    """Of one round. The node is killed after a random number of the frames that answer them."""
    return 500 if rounds <= SHORT else 2_000


class Ledger:
    """What the senders were told: the id of each message id; and what they do not know yet and send again."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, int] = {}
        self.unknown: list[str] = []
        self.contradicted = 0

    def fill(self, count: int) -> list[str]:
        """The message ids of one round: what is unknown, and as many new ones as make ``count``."""
        self.unknown += [str(uuid.uuid4()) for _ in range(count - len(self.unknown))]
        return self.unknown

    def take(self, jane: Peer) -> None:
        """Read her acks."""
        for ack in jane.of_type("ack"):
            first = self.acknowledged.setdefault(ack["ref"], ack["id"])
            self.contradicted += first != ack["id"]
        self.unknown = [message_id for message_id in self.unknown if message_id not in self.acknowledged]

    def judge(self, data_dir: Path) -> dict[str, int]:
        """What must all be 0 of the rows in the log."""
        [(head,)] = rows(data_dir, "SELECT head FROM log")
        stored: dict[object, list[object]] = {}
        given = rows(data_dir, "SELECT id, message_id FROM activity")
        for id, message_id in given:
            stored.setdefault(message_id, []).append(id)
        return {
            "lost": sum(message_id not in stored for message_id in self.acknowledged),
            "doubled": sum(len(ids) > 1 for ids in stored.values()),
            "under another id": sum(id not in stored.get(key, [id]) for key, id in self.acknowledged.items()),
            "acknowledged with two ids": self.contradicted,
            "beyond the head": sum(int(str(id)) > int(str(head)) for id, _ in given),
        }


async def kill_9(rounds: int) -> Report:
    """``rounds`` times: start, send, kill at a random moment. Then check the file."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
        ledger = await kill_nodes(data_dir, rounds)
        with closing(connect(database_path(data_dir))) as connection:
            [sound] = connection.execute("PRAGMA integrity_check").fetchone()
        counts = ledger.judge(data_dir) | {"damage": int(sound != "ok")}
        return Report(counts, _control(), {"acknowledged": len(ledger.acknowledged)})


async def kill_nodes(data_dir: Path, rounds: int) -> Ledger:
    """So many nodes, one after the other, on what the directory leads to; each is killed in the midst of its work."""
    ledger = Ledger()
    for _ in range(rounds):
        async with node_process(data_dir, **UNLIMITED) as node:
            async with peer(node.url) as jane:
                await jane.hello(Tokens(data_dir).person(JANE))
                until = random.randrange(1, sends(rounds))
                for message_id in ledger.fill(sends(rounds)):
                    await send(jane, message_id)
                await jane.until(lambda seen, until=until: len(seen.frames) > until)  # type: ignore[misc]
                await node.kill()
                await jane.until_closed()
            ledger.take(jane)
        advance()
    return ledger


async def send(jane: Peer, message_id: str) -> None:
    """A message whose ack will name it."""
    await jane.send("send", ref=message_id, activity=chat(JANE, BOB, message_id=message_id))


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
        with closing(connect(path)) as connection:
            [stored] = connection.execute("SELECT count(*) FROM activity").fetchone()
    return len(acknowledged) - int(stored)


DRILLS = (Drill(1, "kill -9 of the node under load, SQLite", kill_9, short=SHORT, full=FULL),)
