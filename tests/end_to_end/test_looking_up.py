"""Operators look up people, companies and activities: the routes, the commands, and what they never show."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.harness.backend import POSTGRESQL, SQLITE
from tests.harness.commands import RunPy, as_before, held, on_target, run_py, serving, target
from tests.harness.http import Http
from tests.harness.node import Tokens
from tests.harness.peer import chat, peer
from tests.harness.people import ACME, BOB, JANE
from tests.harness.world import World

__all__ = ["as_before", "held", "on_target", "run_py", "target"]
CANARY = "canary-text-8c1"


def admin(world: World) -> Http:
    return world.http(token=world.tokens.service("admin"))


async def timeline(world: World, id: int) -> dict[str, Any]:
    answer = await admin(world).get(f"/admin/activities/{id}/timeline")
    assert answer.status == 200
    assert CANARY.encode() not in answer.body
    found: dict[str, Any] = answer.json
    return found


def states(side: dict[str, Any]) -> dict[str | None, str]:
    return {device["device_id"]: device["state"] for device in side["devices"]}


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_a_timeline_says_what_each_device_has(world: World) -> None:
    jane = await world.join(JANE, device_id="laptop")
    phone = await world.join(BOB, device_id="phone")
    tablet = await world.join(BOB, device_id="tablet")
    first = (await jane.post(chat(JANE, BOB, CANARY)))["id"]
    for device in (phone, tablet):
        await device.until_ids(first)
    await phone.send("received", id=first)
    await phone.alive()
    found = await timeline(world, first)
    assert found["activity"] == {
        "id": first, "type": "chat_message", "stored_at": found["activity"]["stored_at"], "about_id": None,
        "message_bytes": len(CANARY),
    }  # fmt: skip
    assert found["sender"]["party"] == {"type": "person", "id": JANE}
    assert states(found["sender"]) == {"laptop": "written"}
    assert states(found["receiver"]) == {"phone": "confirmed", "tablet": "written"}
    await phone.close()
    second = (await jane.post(chat(JANE, BOB, CANARY)))["id"]
    await tablet.until_ids(first, second)
    assert states((await timeline(world, second))["receiver"]) == {"tablet": "written", "phone": "away"}
    assert states((await timeline(world, first))["receiver"]) == {"tablet": "written", "phone": "confirmed"}


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_what_a_session_was_not_given_is_not_called_written(world: World) -> None:
    jane = await world.join(JANE)
    ids = [(await jane.post(chat(JANE, BOB, CANARY)))["id"] for _ in range(2)]
    await world.join(BOB, device_id="from now on")
    continued = await world.join(BOB, device_id="continued", last=ids[0])
    await continued.until_ids(ids[1])
    whole = await world.join(BOB, device_id="all", last=0)
    await whole.until_ids(*ids)
    first, second = [(await timeline(world, id))["receiver"] for id in ids]
    assert states(first) == {"from now on": "before", "continued": "before", "all": "written"}
    assert states(second) == {"from now on": "before", "continued": "written", "all": "written"}


@pytest.mark.usual_backends(SQLITE)
async def test_a_companys_members_are_on_its_side(world: World) -> None:
    await world.set_member(ACME, BOB)
    bob = await world.join(BOB, device_id="desk")
    jane = await world.join(JANE)
    sent = (await jane.post({**chat(JANE, ACME), "receivable_type": "company"}))["id"]
    await bob.until_ids(sent)
    found = await timeline(world, sent)
    assert found["receiver"]["party"] == {"type": "company", "id": ACME}
    assert states(found["receiver"]) == {"desk": "written"}
    assert states(found["sender"]) == {None: "written"}


@pytest.mark.usual_backends(SQLITE)
async def test_an_unknown_activity_and_a_wrong_credential(world: World) -> None:
    for id in (1, 2**63 - 1, 9999999999999999999):
        answer = await admin(world).get(f"/admin/activities/{id}/timeline")
        assert (answer.status, "no activity has this id yet" in answer.json["error"]["message"]) == (404, True)
    for path in ("/admin/activities/1/timeline", "/admin/people?q=jane", "/admin/companies?q=acme"):
        assert (await world.http(JANE).get(path)).status == 403
        assert (await world.http().get(path)).status == 401


@pytest.mark.usual_backends(SQLITE)
async def test_the_directory_is_searched_page_by_page(world: World) -> None:
    found = await admin(world).get("/admin/people?q=jane")
    assert [each["id"] for each in found.json] == [JANE]
    page = await admin(world).get("/admin/people?q=e&limit=1")
    assert len(page.json) == 1
    assert f"after={page.json[0]['id']}" in page.headers["Link"]
    assert [each["id"] for each in (await admin(world).get("/admin/companies?q=acme")).json] == [ACME]
    assert [each["id"] for each in (await admin(world).get(f"/admin/people?ids={BOB},{JANE},1")).json] == [BOB, JANE]
    for query in (
        "",
        "?q=",
        "?ids=",
        "?ids=1,",
        "?ids=x",
        f"?ids={','.join('1' * 101)}",
        "?q=x&ids=1",
        "?q=x&limit=0",
        "?q=x&limit=101",
        f"?q={'x' * 201}",
        "?q=x&qq=y",
    ):
        assert (await admin(world).get(f"/admin/people{query}")).status == 400


@pytest.mark.backends(SQLITE)
def test_find_and_explain_without_a_server_and_with_one(on_target: RunPy) -> None:
    assert "Jane" in on_target("find", "jane").check().out
    found = on_target("find", "acme", "--json").check().json
    assert (found["people"], found["companies"]) == ([], [{"id": ACME, "name": "Acme", "numbers": []}])
    missing = on_target("explain", "999")
    assert (missing.status, missing.out) == (1, "")
    assert "no activity has this id yet" in missing.err


@pytest.mark.backends(SQLITE)
async def test_explain_asks_the_running_server_and_shows_no_text(data_dir: Path, run_py: RunPy) -> None:
    with serving(data_dir) as server:
        async with peer(server.url) as jane:
            await jane.hello(Tokens(data_dir).person(JANE), device_id="laptop")
            sent = (await jane.post(chat(JANE, BOB, CANARY)))["id"]
            shown = (await asyncio.to_thread(run_py, "explain", sent)).check().out
    assert "laptop" in shown
    assert "written" in shown
    assert "no device of person 7 is known here" in shown
    assert CANARY not in shown
