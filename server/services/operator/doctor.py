"""Checks an installation: each finding says what was checked, the result, and what to do about a problem."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from importlib.util import find_spec
from typing import Final

import msgspec

from server.auth.signing_keys import is_exposed
from server.config.settings import Settings
from server.services.operator.production import faults
from storage.census import dropped_numbers, newest_activity, postgresql_settings
from storage.contract import ActivityLog
from storage.data_dir import DATABASE_NAME
from storage.database import Database
from storage.migrate import pending
from storage.sqlite import files as sqlite_files
from storage.sqlite.connection import library_version

_FILES_BESIDE_SOCKETS: Final = 256
_LITTLE_SPACE_BYTES: Final = 1024**3
_LARGE_WAL_BYTES: Final = 256 * 1024**2
_ANSWER_SECONDS: Final = 5.0
_WAL_RESET_FIXED: Final = (3, 51, 3)


class Health(StrEnum):
    """The result of a check. ``warn``: it works but needs attention; ``fail``: it does not work, or soon will not."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was checked."""

    check: str
    """What was checked."""
    health: Health
    """`warn`: it works but needs attention; `fail`: it does not work, or soon will not."""
    detail: str
    """What was found, and what to do about it."""


def examine_machine(settings: Settings) -> list[Finding]:
    """Check what does not need the database."""
    return [
        Finding("python", Health.OK, sys.version.split()[0]),
        _sqlite_version(),
        _event_loop(),
        _open_files(settings),
        _space(settings),
        *_key(settings),
        *_production(settings),
    ]


async def examine_storage(settings: Settings, database: Database, log: ActivityLog) -> list[Finding]:
    """Check the database. Reads a SQLite file completely. Raises StorageError."""
    epoch, head_id, _ = await log.state()
    newest = await newest_activity(database)
    steps = await pending(database)
    found = [
        Finding("schema", Health.WARN, f"{len(steps)} steps to apply: run `run.py migrate`")
        if steps
        else Finding("schema", Health.OK, "every step is applied"),
        Finding("log", Health.OK, f"head {head_id}, epoch {epoch}")
        if newest <= head_id
        else Finding(
            "log", Health.FAIL, f"activity {newest} is newer than the log's newest id {head_id}: restore a backup"
        ),
    ]
    if not steps:
        found.append(_address_books(*await dropped_numbers(database)))
    if database.dialect == "sqlite":
        return found + await asyncio.to_thread(_sqlite_file, settings)
    return found + _postgresql(await postgresql_settings(database))


def _address_books(numbers: int, contacts: int) -> Finding:
    if not numbers:
        return Finding("address books", Health.OK, "all contacts' numbers can be called")
    left_out = f"{numbers} numbers of {contacts} contacts were left out"
    return Finding(
        "address books", Health.WARN, f"{left_out}, because they cannot be called: import these contacts again"
    )


async def examine_services(checks: Mapping[str, Callable[[], Awaitable[None]]]) -> list[Finding]:
    """Check the optional services by name: each check raises an error if something is wrong."""
    return [await _examined(name, check) for name, check in checks.items()]


async def _examined(name: str, check: Callable[[], Awaitable[None]]) -> Finding:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        detail = str(error) or f"no answer in {_ANSWER_SECONDS:g} seconds"
        return Finding(name, Health.WARN, detail)
    return Finding(name, Health.OK, "it answers")


def _postgresql(found: Mapping[str, str]) -> list[Finding]:
    """https://www.postgresql.org/docs/current/runtime-config-wal.html says what each setting gives up."""
    unsafe = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if found.get(name) == "off"]
    return [
        _version(found),
        Finding("durability", Health.FAIL, f"{', '.join(unsafe)} is off: a crash can lose acknowledged activities")
        if unsafe
        else Finding("durability", Health.OK, "commits are on disk before they are acknowledged"),
    ]


def _version(found: Mapping[str, str]) -> Finding:
    version = found.get("server_version", "unknown")
    if found.get("jit") == "on":
        # Buzz switches it off for its sessions, which a pooler does not allow.
        advice = "jit is on, which makes some statements slow behind a pooler: run ALTER ROLE … SET jit = off"
        return Finding("postgresql", Health.WARN, f"{version}; {advice}")
    return Finding("postgresql", Health.OK, version)


def _sqlite_file(settings: Settings) -> list[Finding]:
    path = settings.data_dir / DATABASE_NAME
    damage = sqlite_files.faults(path)
    size = sqlite_files.size(path)
    large = size.wal_bytes > _LARGE_WAL_BYTES
    return [
        Finding("integrity", Health.FAIL, f"{damage[0]}: restore a backup")
        if damage
        else Finding("integrity", Health.OK, f"{size.bytes} bytes with the write-ahead log, no damage"),
        Finding(
            "write-ahead log",
            Health.WARN if large else Health.OK,
            f"{size.wal_bytes} bytes{': a reader has been open for very long' if large else ''}",
        ),
    ]


def _sqlite_version() -> Finding:
    version = library_version()
    # https://sqlite.org/wal.html#walresetbug needs two connections that checkpoint; Buzz has one.
    note = (
        ""
        if version >= _WAL_RESET_FIXED
        else " (before 3.51.3: safe here, because only one connection checkpoints; do not open the database elsewhere)"
    )
    return Finding("sqlite", Health.OK, ".".join(map(str, version)) + note)


def _event_loop() -> Finding:
    if find_spec("uvloop") is None:
        return Finding("event loop", Health.WARN, "uvloop is not installed: Buzz runs at about half its speed")
    return Finding("event loop", Health.OK, "uvloop")


def _open_files(settings: Settings) -> Finding:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_sessions + _FILES_BESIDE_SOCKETS
    if limit != resource.RLIM_INFINITY and limit < wanted:
        detail = (
            f"{limit} allowed, {settings.max_sessions} sessions need {wanted}: raise the limit (ulimit -n, LimitNOFILE)"
        )
        return Finding("open files", Health.WARN, detail)
    return Finding("open files", Health.OK, f"{limit} allowed")


def _space(settings: Settings) -> Finding:
    if not settings.data_dir.is_dir():
        return Finding("data directory", Health.FAIL, f"there is no folder {settings.data_dir}")
    if not os.access(settings.data_dir, os.W_OK):
        return Finding("data directory", Health.FAIL, f"this user cannot write to {settings.data_dir}")
    free = shutil.disk_usage(settings.data_dir).free
    health = Health.WARN if free < _LITTLE_SPACE_BYTES else Health.OK
    return Finding("data directory", health, f"{settings.data_dir}: {free // 1024**2} MiB free")


def _key(settings: Settings) -> list[Finding]:
    path = settings.signing_key_path
    if not path.exists():
        return [
            Finding("signing key", Health.WARN, f"{path} does not exist yet: the server makes it when it first starts")
        ]
    if is_exposed(path):
        return [Finding("signing key", Health.WARN, f"{path} can be read by other users: run chmod 600 on it")]
    return [Finding("signing key", Health.OK, str(path))]


def _production(settings: Settings) -> list[Finding]:
    if settings.development:
        return [Finding("mode", Health.OK, "development: not for production")]
    return [Finding("production", Health.FAIL, fault) for fault in faults(settings)] or [
        Finding("mode", Health.OK, "production")
    ]
