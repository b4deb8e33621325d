"""Backups of a database that is in use, and putting them back."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from protocol.activity import ActivityType
from storage.accounts import AccountStore, ReceivedMark
from storage.contract import Posting, Range
from storage.data_dir import DATABASE_NAME
from storage.errors import SchemaTooNew, StorageError
from storage.migrate import migrate
from storage.restore import restore
from storage.sqlite import files as sqlite_files
from storage.sqlite.connection import connect
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.log import SqliteActivityLog


def message(number: int) -> Posting:
    return Posting(
        ActivityType.chat_message, 1, 2, 1, None, f"text {number}", f"00000000-0000-4000-8000-{number:012}", 1_000
    )


async def fill(folder: Path, activities: int) -> None:
    database = await SqliteDatabase.open(folder / DATABASE_NAME)
    await migrate(database)
    log = SqliteActivityLog(database)
    await log.append([message(number) for number in range(activities)])
    await AccountStore(database).save_received([ReceivedMark(2, "phone", activities, 1, 0)])
    await database.close()


async def history(folder: Path) -> tuple[str, int, list[str | None]]:
    database = await SqliteDatabase.open(folder / DATABASE_NAME)
    log = SqliteActivityLog(database)
    epoch, head, _ = await log.state()
    [page] = await log.read([Range((1,))])
    await database.close()
    return epoch, head, [activity.message for activity in page.rows]


async def test_a_copy_of_a_database_that_is_being_written_is_whole(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / DATABASE_NAME)
    await migrate(database)
    log = SqliteActivityLog(database)
    copying = asyncio.Event()

    async def write() -> int:
        number = 0
        while not copying.is_set() or number < 200:
            await log.append([message(number)])
            number += 1
        return number

    writing = asyncio.create_task(write(), name="writing")
    while (await log.state()).head < 50:  # noqa: ASYNC110
        await asyncio.sleep(0)
    size = await asyncio.to_thread(sqlite_files.copy, tmp_path / DATABASE_NAME, tmp_path / "copy.db")
    copying.set()
    written = await writing
    await database.close()
    assert size == (tmp_path / "copy.db").stat().st_size
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert sqlite_files.faults(tmp_path / "copy.db") == []
    with closing(connect(tmp_path / "copy.db")) as copied:
        [head] = copied.execute("SELECT head FROM log").fetchone()
        [count] = copied.execute("SELECT count(*) FROM activity").fetchone()
    assert 50 <= head == count <= written
    assert not list(tmp_path.glob(".*partial"))  # noqa: ASYNC240


async def test_a_copy_never_replaces_a_file(tmp_path: Path) -> None:
    await fill(tmp_path, 1)
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(StorageError, match="is there already"):
        sqlite_files.copy(tmp_path / DATABASE_NAME, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "mine"
    with pytest.raises(StorageError, match=r"can't be written: No such file"):
        sqlite_files.copy(tmp_path / DATABASE_NAME, tmp_path / "nowhere" / "copy.db")


@pytest.mark.parametrize("elsewhere", ["beside it", "on another file system"])
def test_a_moved_file_is_whole_and_its_owners_alone(tmp_path: Path, elsewhere: str) -> None:
    source = tmp_path / "made.db"
    source.write_bytes(b"x" * 3_000_000)
    source.chmod(0o600)
    with TemporaryDirectory(dir="/dev/shm" if elsewhere == "on another file system" else tmp_path) as folder:
        if elsewhere == "on another file system":
            assert Path(folder).stat().st_dev != tmp_path.stat().st_dev
        destination = Path(folder) / "kept.db"
        sqlite_files.move(source, destination)
        assert destination.read_bytes() == b"x" * 3_000_000
        assert destination.stat().st_mode & 0o777 == 0o600
        assert [path.name for path in Path(folder).iterdir()] == ["kept.db"]
    assert not source.exists()


def test_a_file_that_can_not_be_moved_stays(tmp_path: Path) -> None:
    (tmp_path / "made.db").write_text("mine")
    with pytest.raises(StorageError, match=r"can't be written: No such file .* is whole"):
        sqlite_files.move(tmp_path / "made.db", tmp_path / "nowhere" / "kept.db")
    assert (tmp_path / "made.db").read_text() == "mine"


async def test_a_restored_backup_is_another_history(tmp_path: Path) -> None:
    var, backup = tmp_path / "var", tmp_path / "backup.db"
    var.mkdir()
    await fill(var, 3)
    sqlite_files.copy(var / DATABASE_NAME, backup)
    before = await history(var)
    database = await SqliteDatabase.open(var / DATABASE_NAME)
    await SqliteActivityLog(database).append([message(number) for number in range(3, 9)])
    await AccountStore(database).save_received([ReceivedMark(2, "phone", 9, 2, 0)])
    await database.close()

    sqlite_files.copy(var / DATABASE_NAME, tmp_path / "later.db")
    restored = await restore(backup, var)
    epoch, head, messages = await history(var)
    assert (epoch, head) == (restored.epoch, 3)
    assert epoch != before[0]
    assert messages == ["text 0", "text 1", "text 2"]
    assert restored.previous is not None
    with closing(connect(restored.previous)) as previous:
        assert previous.execute("SELECT head FROM log").fetchone() == (9,)
    assert sorted(each.name for each in var.iterdir()) == sorted([DATABASE_NAME, restored.previous.name])


async def test_devices_can_not_have_kept_what_is_no_more(tmp_path: Path) -> None:
    await fill(tmp_path, 3)
    with closing(connect(tmp_path / DATABASE_NAME)) as database:
        database.execute("UPDATE device SET received_id = 99")
    (tmp_path / "var").mkdir()
    restored = await restore(tmp_path / DATABASE_NAME, tmp_path / "var")
    assert (restored.devices_set_back, restored.previous) == (1, None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "There is no file"), (b"hello", "SQLite database"), (b"", "not a backup"), (b"\0" * 8192, "SQLite")],
)
async def test_what_is_no_backup_changes_nothing(tmp_path: Path, content: bytes | None, reason: str) -> None:
    var, backup = tmp_path / "var", tmp_path / "backup.db"
    var.mkdir()
    await fill(var, 3)
    before = await history(var)
    if content is not None:
        backup.write_bytes(content)
    with pytest.raises(StorageError, match=reason):
        await restore(backup, var)
    assert await history(var) == before
    assert [each.name for each in var.iterdir()] == [DATABASE_NAME]


async def test_a_damaged_backup_changes_nothing(tmp_path: Path) -> None:
    var, backup = tmp_path / "var", tmp_path / "backup.db"
    var.mkdir()
    await fill(var, 300)
    sqlite_files.copy(var / DATABASE_NAME, backup)
    with backup.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 4096 * 4)
    before = await history(var)
    with pytest.raises(StorageError, match=r"backup\.db is damaged|malformed"):
        await restore(backup, var)
    assert await history(var) == before


async def test_a_backup_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    await fill(tmp_path, 1)
    with closing(connect(tmp_path / DATABASE_NAME)) as database:
        database.execute("INSERT INTO schema_step VALUES (9999, 'future')")
    (tmp_path / "var").mkdir()
    with pytest.raises(SchemaTooNew, match="9999"):
        await restore(tmp_path / DATABASE_NAME, tmp_path / "var")
    assert list((tmp_path / "var").iterdir()) == []


async def test_a_broken_database_can_be_replaced(tmp_path: Path) -> None:
    var = tmp_path / "var"
    var.mkdir()
    await fill(tmp_path, 3)
    (var / DATABASE_NAME).write_bytes(b"broken")
    (var / f"{DATABASE_NAME}-wal").write_bytes(b"broken too")
    restored = await restore(tmp_path / DATABASE_NAME, var)
    assert (await history(var))[1] == 3
    assert restored.previous is not None
    assert restored.previous.read_bytes() == b"broken"


async def test_after_a_checkpoint_nothing_is_left_in_the_wal(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / DATABASE_NAME)
    await migrate(database)
    await SqliteActivityLog(database).append([message(1)])
    wal = tmp_path / f"{DATABASE_NAME}-wal"
    assert wal.stat().st_size > 0
    assert await database.checkpoint()
    assert wal.stat().st_size == 0
    await database.close()
