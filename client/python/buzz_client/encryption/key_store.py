"""Stores a device's keys: rows in one SQLite file that only this user may read; several change together or none."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack

from buzz_client.encryption.errors import KeysInUse

_SCHEMA = "CREATE TABLE IF NOT EXISTS row (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
_ASIDE = ("", "-wal", "-journal", "-shm")


class KeyStore:
    """Rows by name. One program at a time uses a store; its methods may be called from any thread.

    Use `FileKeys` or `MemoryKeys`. Every method raises OSError if the disk is full or fails; nothing is changed then.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        # What was deleted is overwritten: a key that was used must not be found in the file.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(_SCHEMA)

    def get(self, name: str) -> Any:
        """Return a row's value; None if there is no such row."""
        with self._using() as connection:
            found = connection.execute("SELECT value FROM row WHERE name = ?", (name,)).fetchone()
        return None if found is None else _read(found[0])

    def under(self, prefix: str) -> dict[str, Any]:
        """Return the rows whose names begin with this text, in the order of their names."""
        with self._using() as connection:
            rows = connection.execute(
                "SELECT name, value FROM row WHERE name >= ? AND name < ? ORDER BY name",
                (prefix, prefix + "\U0010ffff"),
            ).fetchall()
        return {name: _read(value) for name, value in rows}

    def write(self, changes: Mapping[str, Any], *, durable: bool = True) -> None:
        """Write these rows, all or none of them; a value of None deletes the row.

        When it returns, the change survives a crash of the program, and if ``durable`` a power failure, too.
        """
        with self._using() as connection:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for name, value in changes.items():
                    if value is None:
                        connection.execute("DELETE FROM row WHERE name = ?", (name,))
                    else:
                        packed = msgpack.packb(value, use_bin_type=True)
                        connection.execute("INSERT OR REPLACE INTO row VALUES (?, ?)", (name, packed))

    def flush(self) -> None:
        """Make everything that was written survive a power failure, and overwrite what was deleted.

        An empty transaction would not do: SQLite waits for the disk only when it has written something. The checkpoint
        also empties the file beside this one, in which deleted keys can still be found.
        """
        with self._using() as connection:
            connection.execute("PRAGMA synchronous = FULL")
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise OSError("cannot write the keys to the disk now: the file is in use")

    def close(self) -> None:
        """Close the store; another program may then use it."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.OperationalError as error:
                raise OSError(f"cannot use the stored keys: {error}") from error


class MemoryKeys(KeyStore):
    """Keys that end with the program: each run is a new device."""

    def __init__(self) -> None:
        super().__init__(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))


class FileKeys(KeyStore):
    """Keys in a file of mode 0600; its folder is created with mode 0700.

    Raises KeysInUse if another program uses the file, OSError if it can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # SQLite gives the files beside this one the same mode.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self.path.chmod(0o600)
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            # The lock is taken with the first transaction and kept until the file is closed.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
            super().__init__(connection)
        except sqlite3.OperationalError as error:
            connection.close()
            if "locked" in str(error):
                raise KeysInUse(f"another program uses the keys in {self.path}: end it, or use another file") from error
            raise OSError(f"cannot use {self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            connection.close()
            raise OSError(f"{self.path} is not a file of keys") from error

    def forget(self) -> None:
        """Close the store and delete its file: this device then no longer exists."""
        self.close()
        for suffix in _ASIDE:
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def default_path(name: str) -> Path:
    """Return where keys of this name belong: in the user's configuration folder."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "buzz" / f"{name}.keys"


def _read(value: bytes) -> Any:
    return msgpack.unpackb(value, raw=False, strict_map_key=False)
