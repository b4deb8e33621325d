"""docs/operation.md, "Backup and restore": the commands for PostgreSQL, run as they stand there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.activity import ActivityType
from storage.accounts import AccountStore, ReceivedMark
from storage.contract import Posting
from storage.opening import open_storage
from tests.harness.commands import run_alone
from tests.harness.node import ROOT
from tests.servers.postgres import PostgresServer

PAGE = ROOT / "docs" / "operation.md"
PERSON, DEVICE = 1, "phone"


@pytest.fixture
def blocks() -> list[str]:
    section = PAGE.read_text().partition("## Backup and restore\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


async def write(url: str, received_id: int) -> tuple[str, int]:
    """Append three activities and confirm ``received_id``; return the epoch and the newest id."""
    async with open_storage(Path(), url) as (database, log):
        await log.append([Posting(ActivityType.chat_message, PERSON, 2, PERSON, None, "x", None, 5)] * 3)
        await AccountStore(database).save_received([ReceivedMark(PERSON, DEVICE, received_id, 1, 1)])
        return (await log.state())[:2]


async def received(url: str) -> int:
    async with open_storage(Path(), url) as (database, _):
        [(found,)] = await database.fetch("SELECT received_id FROM device")
        return int(found)


def paste(script: str, server: PostgresServer, folder: Path, url: str) -> str:
    """Run a block of the page in a folder, with PostgreSQL's programs of the server's release; its output."""
    done = subprocess.run(
        ["bash", "-ec", script.replace(".venv/bin/python run.py", f"{sys.executable} {ROOT / 'run.py'}")],
        cwd=folder,
        env={
            "PATH": f"{server.binaries}:{os.environ['PATH']}",
            "BUZZ_DATABASE_URL": url,
            "BUZZ_DATA_DIR": str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_dump_that_was_put_back_has_another_epoch(
    blocks: list[str], postgres_server: PostgresServer, postgres_url: str, empty_postgres_url: str, tmp_path: Path
) -> None:
    dump, put_back = blocks
    epoch, head = asyncio.run(write(postgres_url, 9))
    paste(dump, postgres_server, tmp_path, postgres_url)
    said = paste(put_back, postgres_server, tmp_path, empty_postgres_url)
    assert "the log has a new epoch" in said
    assert asyncio.run(received(empty_postgres_url)) == head == 3
    renewed, newest = asyncio.run(write(empty_postgres_url, 0))
    assert (newest, renewed in said, renewed != epoch) == (6, True, True)


def test_a_new_epoch_is_made_only_on_purpose(postgres_url: str, tmp_path: Path) -> None:
    epoch, head = asyncio.run(write(postgres_url, 0))
    refused = run_alone(["new-epoch"], tmp_path, BUZZ_DATABASE_URL=postgres_url)
    assert refused.returncode == 1
    assert "Nothing was done: pass --yes to do it." in refused.stderr
    done = run_alone(["new-epoch", "--yes", "--json"], tmp_path, BUZZ_DATABASE_URL=postgres_url)
    assert done.returncode == 0, done.stderr
    assert "fsync is off" in done.stderr  # standard output is the result alone
    shown = json.loads(done.stdout)
    assert (shown["head_id"], shown["epoch"] != epoch) == (head, True)
    assert asyncio.run(write(postgres_url, 0)) == (shown["epoch"], head + 3)


def test_sqlite_is_referred_to_restore_and_postgresql_to_its_own_programs(postgres_url: str, tmp_path: Path) -> None:
    assert "`run.py restore` gives its log" in run_alone(["new-epoch", "--yes"], tmp_path).stderr
    refused = run_alone(["restore", "buzz.dump", "--yes"], tmp_path, BUZZ_DATABASE_URL=postgres_url)
    assert "restore it with pg_restore, then run `run.py new-epoch`" in refused.stderr
