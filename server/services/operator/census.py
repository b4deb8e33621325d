"""The figures of a node: for `run.py stats` and the operators' page."""

from __future__ import annotations

import os
import time
from typing import Literal

import msgspec

from server.config.settings import Mode, NumberSource, Settings
from server.config.version import VERSION
from server.live.hub import Hub
from server.runtime.telemetry import Metrics
from storage.census import counts
from storage.contract import ActivityLog
from storage.data_dir import DATABASE_NAME
from storage.database import Database
from storage.sqlite import files
from storage.telephony.numbers import NumberState, NumberStore


class NodeFigures(msgspec.Struct, frozen=True):
    """The process."""

    version: str
    """Buzz's version."""
    mode: Mode
    """`development` or `production`."""
    process_id: int
    """Its id on its machine."""
    uptime_seconds: int
    """How long it has run."""


class LogFigures(msgspec.Struct, frozen=True):
    """The activity log."""

    epoch: str
    """The name of this history of the log."""
    head_id: int
    """The newest id."""


class SessionFigures(msgspec.Struct, frozen=True):
    """The live sessions of this node."""

    now: int
    """How many there are."""
    behind: int
    """How many of them have not got everything yet."""
    people: int
    """How many people they are of."""


class StorageFigures(msgspec.Struct, frozen=True, omit_defaults=True):
    """The database; the sizes are those of SQLite's files on the disk."""

    dialect: Literal["sqlite", "postgresql"]
    """Which database it is."""
    bytes: int | msgspec.UnsetType = msgspec.UNSET
    """The size of the database, with its write-ahead log."""
    wal_bytes: int | msgspec.UnsetType = msgspec.UNSET
    """The size of the write-ahead log: what is stored gets there first, and later into the database's own file."""


class Stats(msgspec.Struct, frozen=True):
    """The figures of a node, by subject."""

    node: NodeFigures
    """The process."""
    log: LogFigures
    """The activity log."""
    sessions: SessionFigures
    """The live sessions of this node."""
    stored: dict[str, int]
    """How many rows each of the smaller tables has."""
    numbers: dict[NumberState, int]
    """How many Buzz numbers there are in each state."""
    number_source: NumberSource
    """Where a person's number comes from when none is free: `pool`: nowhere; `twilio`: Buzz buys one; `fictional`: Buzz
    makes one up (development)."""
    storage: StorageFigures
    """The database."""
    metrics: dict[str, float]
    """The value of every metric, by its name and labels."""


class Census:
    """Counts the stored objects."""

    def __init__(self, settings: Settings, database: Database, log: ActivityLog, hub: Hub, metrics: Metrics) -> None:
        self._settings = settings
        self._database = database
        self._log = log
        self._hub = hub
        self._metrics = metrics
        self._started_at = time.monotonic()

    async def take(self) -> Stats:
        """Return figures by subject. Raises StorageUnavailable."""
        epoch, head_id, _ = await self._log.state()
        live = sum(session.live for session in self._hub)
        people = sum(1 for key in self._hub.people() if key > 0)
        return Stats(
            node=self._node(),
            log=LogFigures(epoch, head_id),
            sessions=SessionFigures(len(self._hub), len(self._hub) - live, people),
            stored=await counts(self._database),
            numbers=await NumberStore(self._database).counts(),
            number_source=self._settings.number_source,
            storage=self._storage(),
            metrics=self._metrics.values(),
        )

    def _node(self) -> NodeFigures:
        uptime_seconds = round(time.monotonic() - self._started_at)
        return NodeFigures(VERSION, self._settings.mode, os.getpid(), uptime_seconds)

    def _storage(self) -> StorageFigures:
        if self._database.dialect != "sqlite":
            return StorageFigures("postgresql")
        size = files.size(self._settings.data_dir / DATABASE_NAME)
        return StorageFigures("sqlite", size.bytes, size.wal_bytes)
