"""The figures of a node: for `run.py stats` and the operators' page."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from server.config.settings import Settings
from server.config.version import VERSION
from server.live.hub import Hub
from server.runtime.telemetry import Metrics
from storage.census import counts
from storage.contract import ActivityLog
from storage.data_dir import DATABASE_NAME
from storage.database import Database
from storage.telephony.numbers import NumberStore


class Census:
    """Counts the stored objects."""

    def __init__(self, settings: Settings, database: Database, log: ActivityLog, hub: Hub, metrics: Metrics) -> None:
        self._settings = settings
        self._database = database
        self._log = log
        self._hub = hub
        self._metrics = metrics
        self._started_at = time.monotonic()

    async def take(self) -> dict[str, Any]:
        """Return figures by subject. Raises StorageUnavailable."""
        epoch, head_id, _ = await self._log.state()
        live = sum(session.live for session in self._hub)
        return {
            "node": {
                "version": VERSION,
                "mode": self._settings.mode.value,
                "process_id": os.getpid(),
                "uptime_seconds": round(time.monotonic() - self._started_at),
            },
            "log": {"epoch": epoch, "head_id": head_id},
            "sessions": {
                "now": len(self._hub),
                "behind": len(self._hub) - live,
                "people": sum(1 for key in self._hub.people() if key > 0),
            },
            "stored": await counts(self._database),
            "numbers": {state.value: count for state, count in (await NumberStore(self._database).counts()).items()},
            "storage": self._storage(),
        }

    def metrics(self) -> dict[str, float]:
        """Return every metric's value, by its name and labels."""
        return self._metrics.values()

    def _storage(self) -> dict[str, Any]:
        if self._database.dialect != "sqlite":
            return {"dialect": self._database.dialect}
        path = self._settings.data_dir / DATABASE_NAME
        wal = path.with_name(f"{DATABASE_NAME}-wal")
        return {"dialect": "sqlite", "bytes": _size(path), "wal_bytes": _size(wal)}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
