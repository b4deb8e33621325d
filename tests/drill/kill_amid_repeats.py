"""Row 23: `kill -9` amid repeats, SQLite. No activity is stored twice, whatever the table of message ids has reached.

The control is a log that forgets what that table does not have yet, killed the same way: it stores repeats as new.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from storage.sqlite.connection import connect
from tests.drill.drills import Drill, Report, advance
from tests.drill.kill_9 import UNLIMITED, Ledger, send
from tests.harness.backend import rows
from tests.harness.node import ROOT, Tokens, node_process
from tests.harness.peer import peer
from tests.harness.people import JANE, database_path, make_directory

SHORT, FULL = 4, 500
REMEMBERED = 6_000
"""Repeats are of one of the newest of so many: more than the table of message ids is behind."""


def sends(rounds: int) -> int:
    """Of one round; about half of them are repeats."""
    return 600 if rounds <= SHORT else 2_000


async def kill_amid_repeats(rounds: int) -> Report:
    """``rounds`` times: start, send new messages and repeats, kill at a random moment. Then check the file."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = await asyncio.to_thread(make_directory, Path(folder) / "data")
        ledger, behind = Ledger(), 0
        for _ in range(rounds):
            await _round(data_dir, ledger, sends(rounds))
            behind += _behind(data_dir) > 0
            advance()
        with closing(connect(database_path(data_dir))) as connection:
            [sound] = connection.execute("PRAGMA integrity_check").fetchone()
        counts = ledger.judge(data_dir) | {"damage": int(sound != "ok"), "wrong in the table": _wrong(data_dir)}
        control = await asyncio.to_thread(_control)
        return Report(counts, control, {"acknowledged": len(ledger.acknowledged), "killed with a tail": behind})


async def _round(data_dir: Path, ledger: Ledger, count: int) -> None:
    async with node_process(data_dir, **UNLIMITED) as node:
        async with peer(node.url) as jane:
            await jane.hello(Tokens(data_dir).person(JANE))
            until = random.randrange(count // 4, count)
            for message_id in _with_repeats(ledger, count):
                await send(jane, message_id)
            await jane.until(lambda seen: len(seen.of_type("ack")) >= until)
            await node.kill()
            await jane.until_closed()
        ledger.take(jane)


def _with_repeats(ledger: Ledger, count: int) -> list[str]:
    """Return what is unknown and new ones, amid repeats of them and of what was acknowledged lately."""
    new = ledger.fill(count // 2)
    known = list(ledger.acknowledged)[-REMEMBERED:]
    mixed = [*new, *random.choices(new + known, k=count - len(new))]
    random.shuffle(mixed)
    return mixed


def _behind(data_dir: Path) -> int:
    """Return how many ids the table of message ids is behind the log."""
    [(behind,)] = rows(data_dir, "SELECT head - messages FROM log CROSS JOIN log_index")
    return int(str(behind))


def _wrong(data_dir: Path) -> int:
    """Return how many messages the table should have and has not, or names wrongly."""
    sql = """SELECT count(*) FROM activity LEFT JOIN message_key USING (author, message_id)
             WHERE type = 0 AND id <= (SELECT messages FROM log_index) AND activity IS NOT id"""
    [(wrong,)] = rows(data_dir, sql)
    return int(str(wrong))


_FORGETFUL = """
import asyncio, sys
from pathlib import Path
from protocol.activity import ActivityType
from storage.contract import Posting
from storage.migrate import migrate
from storage.sqlite import message_keys
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.log import SqliteActivityLog

message_keys._READ = message_keys._READ + " AND FALSE"  # what a start reads of the log: nothing

async def main():
    database = await SqliteDatabase.open(Path(sys.argv[1]))
    await migrate(database)
    log = SqliteActivityLog(database)
    kind = ActivityType.chat_message
    for number in range(200):
        await log.append([Posting(kind, 1, 2, 1, None, "x", str(number), number)])
        print(number, flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


def _control() -> int:
    """How many messages are stored twice by a log that forgets its tail, and is killed and started again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forgetful.db"
        for _ in range(2):
            with subprocess.Popen(
                [sys.executable, "-c", _FORGETFUL, str(path)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            ) as forgetful:  # fmt: skip
                assert forgetful.stdout is not None
                for _ in range(200):
                    assert forgetful.stdout.readline(), "the control ended"
                forgetful.kill()
        with closing(connect(path, read_only=True)) as connection:
            [doubled] = connection.execute("SELECT count(*) - count(DISTINCT message_id) FROM activity").fetchone()
    return int(doubled)


DRILLS = (Drill(23, "kill -9 amid repeats, SQLite", kill_amid_repeats, short=SHORT, full=FULL),)
