"""One node with an empty directory, changed over HTTP and listened to over sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.http import Answer
from tests.harness.people import database_path
from tests.harness.sqlite import migrated_file
from tests.harness.world import World, open_world


class Admin:
    """The operator's main system: requests with an admin token."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._http = world.http(token=world.tokens.service("admin"))

    async def __call__(self, method: str, path: str, **more: Any) -> Answer:
        return await self._http(method, f"/admin/directory/{path}", **more)

    async def load(self, *lines: str | bytes, query: str = "", expect: int = 200) -> Answer:
        """Import these lines."""
        text = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
        answer = await self("POST", f"import{query}", data=text, headers={"Content-Type": "application/x-ndjson"})
        assert answer.status == expect, answer.body
        return answer


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    await migrated_file(database_path(tmp_path))
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.fixture
def admin(world: World) -> Admin:
    return Admin(world)
