"""The data directory: only one server uses it at a time, and other processes can find that server.

The lock is an advisory one on an open file (flock), so it is released when the process that holds it ends, for whatever
reason. The file's content (process id and URL) is valid only while the lock is held.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from storage.errors import StorageError, StoreLocked

LOCK_NAME: Final = "buzz.lock"
DATABASE_NAME: Final = "buzz.db"
BACKUP_FOLDER: Final = "backups"

_PATIENCE_SECONDS: Final = 0.5
"""Somebody who only asks who holds the lock has it for microseconds: a server that starts tries that long."""


class Holder(NamedTuple):
    """The process that holds a data directory. ``url`` is None until that server listens."""

    pid: int
    url: str | None


class DataDirLock:
    """The lock while it is held."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.announce(None)

    def announce(self, url: str | None) -> None:
        """Write this process's URL into the lock file, for other processes."""
        text = json.dumps({"pid": os.getpid(), "url": url}).encode()
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, text, 0)


@contextmanager
def hold(data_dir: Path) -> Iterator[DataDirLock]:
    """Hold the directory (made if it is missing) until the block ends. Raises StoreLocked, StorageError."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        handle = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"The data directory {data_dir} can't be used: {error.strerror}.") from error
    try:
        if not _locked(handle):
            raise StoreLocked(_refusal(data_dir, _read(handle)))
        yield DataDirLock(handle)
    finally:
        os.close(handle)


def holder(data_dir: Path) -> Holder | None:
    """Return the process that holds the directory now, or None."""
    try:
        handle = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"The data directory {data_dir} can't be used: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(handle)
    finally:
        os.close(handle)
    return None


def _locked(handle: int) -> bool:
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                return False
            time.sleep(0.02)
        else:
            return True


def _read(handle: int) -> Holder:
    try:
        found = json.loads(os.pread(handle, 4_096, 0))
        return Holder(int(found["pid"]), found["url"])
    except (ValueError, KeyError, TypeError):
        return Holder(0, None)


def _refusal(data_dir: Path, found: Holder) -> str:
    where = f", listening on {found.url}" if found.url else ""
    how = f", or `kill {found.pid}`" if found.pid else ""
    return (
        f"The data directory {data_dir} is used by another Buzz server (process {found.pid}{where}):"
        f" stop it first (Ctrl-C in its terminal{how}), or use another --data-dir."
    )
