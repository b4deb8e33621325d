"""The stores under test, on every backend: each contract test runs once on each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.migrate import migrate
from storage.sqlite import SqliteDatabase


@pytest.fixture(params=["sqlite"])
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A fresh, migrated database."""
    opened = await SqliteDatabase.open(tmp_path / "buzz.db")
    try:
        await migrate(opened)
        yield opened
    finally:
        await opened.close()
