"""The store of a device's keys: what survives a power failure, what is overwritten, and a disk that is full."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from buzz_client.encryption import FileKeys, KeyStore, MemoryKeys

FULL = 2


def main_file_alone(keys: FileKeys, copy: Path) -> FileKeys:
    """What is left if nothing survives of the file beside it, in which SQLite collects what it has not put in place."""
    shutil.copy(keys.path, copy)
    return FileKeys(copy)


def test_flush_puts_everything_in_place(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path / "keys")
    keys.write({"a": "lazily written"}, durable=False)
    before = main_file_alone(keys, tmp_path / "before")
    assert before.get("a") is None
    keys.flush()
    after = main_file_alone(keys, tmp_path / "after")
    assert after.get("a") == "lazily written"
    for each in (keys, before, after):
        each.close()


@pytest.mark.parametrize("method", ["write", "flush"])
def test_sqlite_waits_for_the_disk(tmp_path: Path, method: str) -> None:
    keys = FileKeys(tmp_path / "keys")
    keys.write({"a": 1}, durable=False)
    keys.flush() if method == "flush" else keys.write({"b": 1})
    assert keys._connection.execute("PRAGMA synchronous").fetchone() == (FULL,)
    keys.close()


def test_a_key_that_was_deleted_is_in_no_file_after_a_flush(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path / "keys")
    keys.write({"chain": b"CANARY" * 10})
    keys.write({"chain": b"later", "other": None})
    keys.flush()
    keys.write({"chain": None}, durable=False)
    keys.flush()
    for path in tmp_path.iterdir():
        assert b"CANARY" not in path.read_bytes(), path.name
    keys.close()


def test_keys_in_memory_can_be_flushed_as_well() -> None:
    keys = MemoryKeys()
    keys.write({"a": 1}, durable=False)
    keys.flush()
    assert keys.get("a") == 1


def filled(keys: KeyStore) -> KeyStore:
    """The store on a disk without any room."""
    keys._connection.execute("PRAGMA max_page_count = 1")
    return keys


def test_a_full_disk_is_an_oserror_and_changes_nothing(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path / "keys")
    keys.write({"a": 1})
    with pytest.raises(OSError, match="full"):
        filled(keys).write({"a": 2, "b": b"x" * 100_000})
    assert (keys.get("a"), keys.get("b")) == (1, None)
    keys._connection.execute("PRAGMA max_page_count = 1000")
    keys.write({"a": 2})
    assert keys.get("a") == 2
    keys.close()
