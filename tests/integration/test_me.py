"""GET /apps/buzz/me: who the caller is, as the directory has it now."""

from __future__ import annotations

from pathlib import Path

from server.node.demo import load_demo
from tests.harness.world import open_world

JANE, JOHN = 456, 7


async def test_it_names_the_caller_and_their_companies(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await load_demo(world.node.directory)
        jane = (await world.http(JANE).get("/apps/buzz/me")).json
        assert jane == {
            "id": JANE,
            "first_name": "Jane",
            "middle_name": "A.",
            "last_name": "Smith",
            "companies": [{"id": 123, "name": "Acme"}],
        }
        assert (await world.http(JOHN).get("/apps/buzz/me")).json["companies"] == []
        await world.set_member(123, JANE, False)
        assert (await world.http(JANE).get("/apps/buzz/me")).json["companies"] == []
        assert (await world.http().get("/apps/buzz/me")).status == 401
        assert (await world.http(token=world.tokens.service("admin")).get("/apps/buzz/me")).status == 403
