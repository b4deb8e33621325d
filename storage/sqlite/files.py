"""SQLite databases as files: copies one that is in use, checks one, puts a copy in place.

Everything here blocks; callers with an event loop run it in a thread.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from storage.errors import StorageError
from storage.sqlite.connection import DriverConnection, Error, connect

_COMPANIONS: Final = ("-wal", "-shm")
_COPY_FAULTS: Final[dict[type[Error], str]] = {
    apsw.BusyError: "another process keeps the source locked",
    apsw.FullError: "the disk is full",
    apsw.IOError: "the disk reported an error",
}
"""SQLite gives the failed step of a copy a code but no message."""


@contextmanager
def read_only(path: Path) -> Iterator[DriverConnection]:
    """Open a connection that can't write, checkpoint or create the file. Raises StorageError if it is no database."""
    try:
        with closing(connect(path, read_only=True)) as connection:
            yield connection
    except Error as error:
        raise StorageError(f"{path} can't be read as a SQLite database: {error}.") from error


class Size(NamedTuple):
    """The bytes of a database on the disk; ``wal_bytes``: how many of them are in its write-ahead log."""

    bytes: int
    wal_bytes: int


def size(path: Path) -> Size:
    """Return how large a database is, together with its write-ahead log, where new rows are at first."""
    wal_bytes = _file_bytes(path.with_name(f"{path.name}-wal"))
    return Size(_file_bytes(path) + wal_bytes, wal_bytes)


def _file_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def copy(source: Path, destination: Path) -> int:
    """Copy a database, also one that is being written, as it is at one moment; returns the bytes of the copy.

    The copy is complete or absent: it gets its name when it is on disk. Raises StorageError, also if the destination
    exists already.
    """
    if destination.exists():
        raise StorageError(f"{destination} is there already: name a new file.")
    partial = destination.with_name(f".{destination.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        _copy_pages(source, partial)
        # A link never replaces a file that another process made meanwhile.
        os.link(partial, destination)
        sync_folder(destination.parent)
        return destination.stat().st_size
    except OSError as error:
        raise StorageError(f"{destination} can't be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)


def move(source: Path, destination: Path) -> None:
    """Move a file, also to another file system: it gets its new name when it is complete and on disk.

    Raises StorageError; then the source still exists.
    """
    partial = destination.with_name(f".{destination.name}.partial")
    try:
        try:
            source.rename(destination)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_bytes(source, partial)
            partial.rename(destination)
            source.unlink()
        sync_folder(destination.parent)
    except OSError as error:
        raise StorageError(f"{destination} can't be written: {error.strerror}. {source} is whole.") from error
    finally:
        partial.unlink(missing_ok=True)


def faults(path: Path) -> list[str]:
    """Return the faults that SQLite finds in the file; an empty list if there are none. Reads the whole file."""
    with read_only(path) as connection:
        found = [str(text) for (text,) in connection.execute("PRAGMA integrity_check(20)")]
    return [] if found == ["ok"] else found


def put_in_place(fresh: Path, path: Path, aside: Path) -> None:
    """Make ``fresh`` the database at ``path``; the replaced one is kept as ``aside``. No process may have it open.

    At every moment there is a complete database at ``path``, the old or the new one.
    """
    if path.exists():
        _fold(path)
        # A WAL that could not be checkpointed belongs to the old file: it must not be replayed into the new one.
        for companion in _COMPANIONS:
            if (beside := path.with_name(path.name + companion)).exists():
                beside.replace(aside.with_name(aside.name + companion))
        os.link(path, aside)
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy_bytes(source: Path, destination: Path) -> None:
    handle = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with source.open("rb") as reading, open(handle, "wb") as writing:
        shutil.copyfileobj(reading, writing, 1024**2)
        writing.flush()
        os.fsync(writing.fileno())


def _copy_pages(source: Path, destination: Path) -> None:
    # In one step: a backup in several steps starts over whenever another connection commits in between.
    with read_only(source) as reader, closing(connect(destination)) as target:
        backup = target.backup("main", reader, "main")
        try:
            backup.step()
        except Error as error:
            reason = _COPY_FAULTS.get(type(error), f"{type(error).__name__} of SQLite")
            raise StorageError(f"{source} can't be copied: {reason}.") from error
        finally:
            backup.close(force=True)
        # One file that is complete without a WAL, so that it can be read from a read-only medium.
        target.execute("PRAGMA journal_mode=DELETE").fetchall()


def _fold(path: Path) -> None:
    """Checkpoint the WAL if possible: the database that is replaced may be damaged, so errors are ignored."""
    try:
        with closing(connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except Error:
        return
