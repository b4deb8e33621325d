"""GET /apps/buzz/companies/{id}/members: whom a message to a company is encrypted for."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.node.demo import load_demo
from server.routes.company_members import MAX_MEMBERS_LISTED
from tests.harness.world import World, open_world

JANE, JOHN, MARIA, ACME = 456, 7, 8, 123
ROUTE = f"/apps/buzz/companies/{ACME}/members"


async def test_it_lists_the_members_that_the_company_has_now(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await load_demo(world.node.directory)
        assert (await world.http(JOHN).get(ROUTE)).json == {"members": [MARIA, JANE], "more": False}
        await world.set_member(ACME, JANE, False)
        await world.set_member(ACME, MARIA, False)
        assert (await world.http(JOHN).get(ROUTE)).json == {"members": [], "more": False}
        assert (await world.http(JOHN).get("/apps/buzz/companies/5/members")).status == 404
        assert (await world.http().get(ROUTE)).status == 401


@pytest.mark.parametrize("company", ["0", "-1", "x", "1" * 30])
async def test_what_is_no_id_is_refused(tmp_path: Path, company: str) -> None:
    async with open_world(tmp_path) as world:
        await load_demo(world.node.directory)
        assert (await world.http(JOHN).get(f"/apps/buzz/companies/{company}/members")).status == 400


async def test_a_large_company_is_cut_and_says_so(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await load_demo(world.node.directory)
        await _join(world, range(1_000, 1_000 + MAX_MEMBERS_LISTED))
        found = (await world.http(JOHN).get(ROUTE)).json
        assert found["more"] is True
        assert found["members"] == [MARIA, JANE, *range(1_000, 998 + MAX_MEMBERS_LISTED)]


async def _join(world: World, people: range) -> None:
    lines = "".join(
        f'{{"kind":"person","id":{id},"first_name":"A","last_name":"B","numbers":[]}}\n'
        f'{{"kind":"member","company_id":{ACME},"person_id":{id}}}\n'
        for id in people
    )

    async def pieces():  # type: ignore[no-untyped-def]
        yield lines.encode()

    await world.node.directory.import_lines(pieces())
