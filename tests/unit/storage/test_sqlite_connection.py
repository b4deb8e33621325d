"""What SQLite's driver must do: its errors become storage errors, and its statistics keep nobody's data."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from storage.errors import StorageConflict, StorageError, StorageUnavailable
from storage.sqlite import files as sqlite_files
from storage.sqlite.connection import connect, library_version
from storage.sqlite.database import SqliteDatabase

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await SqliteDatabase.open(tmp_path / "buzz.db")
    await opened.execute("CREATE TABLE phone (id INTEGER PRIMARY KEY, e164 TEXT UNIQUE NOT NULL)")
    yield opened
    await opened.close()


def test_it_is_a_version_that_no_two_checkpoints_corrupt() -> None:
    assert library_version() >= (3, 51, 3)


@pytest.mark.parametrize(
    ("statement", "parameters", "error"),
    [
        ("INSERT INTO phone (e164) VALUES (NULL)", (), StorageConflict),
        ("INSERT INTO phone (e164) VALUES ('1'), ('1')", (), StorageConflict),
        ("INSERT INTO phone (id, e164) VALUES ('no number', '1')", (), StorageConflict),
        ("INSERT INTO nothing VALUES (1)", (), StorageUnavailable),
        ("INSERT INTO phone (e164) VALUES (?)", (), StorageError),
        ("INSERT INTO phone (e164) VALUES (zeroblob(2000000000))", (), StorageError),
    ],
)
async def test_what_a_statement_can_not_do_is_a_storage_error(
    database: SqliteDatabase, statement: str, parameters: tuple[str, ...], error: type[StorageError]
) -> None:
    with pytest.raises(error) as raised:
        await database.execute(statement, *parameters)
    assert type(raised.value) is error
    with pytest.raises(error):
        async with database.transaction() as transaction:
            await transaction.execute(statement, *parameters)
    assert await database.execute("INSERT INTO phone (e164) VALUES ('2')") == 1, "and the connection works on"


async def test_a_full_disk_is_unavailable_and_ends_when_there_is_space(database: SqliteDatabase) -> None:
    """As SQLite says it (SQLITE_FULL); the drill of row 8 fills real disks."""
    much = "INSERT INTO phone (e164) VALUES (printf('%.*c', 100000, 'x'))"
    [(pages,)] = await database.fetch("PRAGMA page_count")
    await database.write(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchall())
    with pytest.raises(StorageUnavailable, match="full"):
        await database.execute(much)
    await database.write(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchall())
    assert await database.execute(much) == 1


async def test_a_write_waits_for_no_longer_than_its_time_for_another_process(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    await database.write(lambda c: c.execute("SELECT 1").fetchall())
    await database._writer.run(lambda c: c.execute("PRAGMA busy_timeout = 1").fetchall())
    with closing(connect(tmp_path / "buzz.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match="locked"):
            await database.execute("INSERT INTO phone (e164) VALUES ('1')")
        other.execute("ROLLBACK")
    assert await database.execute("INSERT INTO phone (e164) VALUES ('1')") == 1


async def test_how_many_rows_were_changed(database: SqliteDatabase) -> None:
    assert await database.execute("INSERT INTO phone (e164) VALUES ('1'), ('2'), ('3')") == 3
    assert await database.execute("UPDATE phone SET e164 = e164 || '0' WHERE id > 1") == 2
    async with database.transaction() as transaction:
        assert await transaction.execute("DELETE FROM phone WHERE id = 99") == 0
        await transaction.execute_many("INSERT INTO phone (e164) VALUES (?)", [("4",), ("5",)])
        assert await transaction.execute("DELETE FROM phone") == 5


async def test_the_statistics_keep_no_copy_of_a_key(database: SqliteDatabase, tmp_path: Path) -> None:
    """SQLite may keep samples of the keys of an index (``sqlite_stat4``), which an erasure would not reach."""
    await database.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
        " INSERT INTO phone (e164) SELECT '+1238555' || i FROM n"
    )
    await database.write(lambda c: c.execute("ANALYZE").fetchall())
    await database.write(lambda c: c.execute("PRAGMA optimize").fetchall())
    assert await database.fetch("SELECT count(*) FROM sqlite_stat1") == [(1,)]
    assert await _samples(database) == 0
    with closing(connect(tmp_path / "control.db")) as control:
        control.execute("CREATE TABLE phone (e164 TEXT UNIQUE)")
        control.execute("BEGIN")
        control.executemany("INSERT INTO phone VALUES (?)", [(str(number),) for number in range(5_000)])
        control.execute("COMMIT")
        control.execute("ANALYZE")
        assert control.execute("SELECT count(*) FROM sqlite_stat4").fetchone()[0] > 0, "this build keeps samples"


async def _samples(database: SqliteDatabase) -> int:
    tables = await database.fetch("SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_stat4'")
    found = await database.fetch("SELECT count(*) FROM sqlite_stat4") if tables == [(1,)] else [(0,)]
    return int(found[0][0])


@pytest.mark.parametrize("content", [b"not a database" * 100, b"\0" * 8_192])
async def test_a_file_that_is_no_database_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.db").write_bytes(content)
    with pytest.raises(StorageError):
        await SqliteDatabase.open(tmp_path / "bad.db")
    with pytest.raises(StorageUnavailable, match="unable to open"):
        await SqliteDatabase.open(tmp_path / "nowhere" / "buzz.db")


def test_a_copy_gives_up_when_another_process_keeps_the_file_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_files, "connect", partial(connect, timeout_seconds=0.001))
    with closing(connect(tmp_path / "plain.db")) as holder:
        holder.execute("CREATE TABLE phone (e164)")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match="can't be copied: another process keeps the source locked"):
            sqlite_files.copy(tmp_path / "plain.db", tmp_path / "copy.db")
        holder.execute("ROLLBACK")
        assert {path.name for path in tmp_path.iterdir()} == {"plain.db"}
    assert sqlite_files.copy(tmp_path / "plain.db", tmp_path / "copy.db") > 0


def test_a_connection_that_only_reads_does_not_create_the_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError), sqlite_files.read_only(tmp_path / "none.db"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_characters_of_an_address_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a?mode=memory#b.db"
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE phone (e164)")
    with closing(connect(path, read_only=True)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_copy_that_finds_no_space_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    """In a process of its own, because a limit of the size of files holds for a whole process."""
    with closing(connect(tmp_path / "plain.db")) as source:
        source.execute("CREATE TABLE phone (e164)")
        source.execute("INSERT INTO phone VALUES (printf('%.*c', 200000, 'x'))")
    script = """
import pathlib, resource, signal, sys
from storage.sqlite import files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
files.copy(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
"""
    paths = (str(tmp_path / "plain.db"), str(tmp_path / "copy.db"))
    done = subprocess.run([sys.executable, "-c", script, *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    assert re.search(r"StorageError: .* can't be copied: the disk (is full|reported an error)\.", done.stderr), done
    assert [path.name for path in tmp_path.iterdir()] == ["plain.db"]
