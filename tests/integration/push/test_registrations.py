"""The routes of push: what is taken, refused and shown, and to whom a registration belongs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from protocol.push import MAX_ENDPOINT_CHARACTERS
from server.config.settings import Mode, Settings
from server.push.outcome import PushAnswer, PushResult
from server.push.overview import FEW
from server.push.registrations import CHANGES_AT_ONCE, TESTS_AT_ONCE
from storage.push.registrations import MAX_REGISTRATIONS, PushStore
from tests.fakes.push_service import Subscription
from tests.harness.http import Answer, Http
from tests.harness.node import Tokens, running_node
from tests.harness.people import BOB, JANE, copy_directory, make_directory
from tests.harness.world import World, open_world

ENDPOINT = "https://push.example/wpush/v2/secret-endpoint"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_directory(tmp_path_factory.mktemp("directory"))


@pytest.fixture
async def world(directory: Path) -> AsyncIterator[World]:
    async with open_world(directory) as opened:
        yield opened
        async with opened.node.database.transaction() as transaction:
            await transaction.execute("DELETE FROM push_registration")


def body(device: str = "phone", endpoint: str = ENDPOINT, **more: Any) -> dict[str, Any]:
    return Subscription(endpoint).registration(device, **more)


async def put(world: World, person: int, given: dict[str, Any]) -> Answer:
    return await world.http(person)("PUT", "/apps/buzz/push", json=given)


async def devices(world: World, person: int) -> list[str]:
    return [each["device_id"] for each in (await world.http(person).get("/apps/buzz/push")).json]


async def test_a_registration_is_shown_without_its_secrets(world: World) -> None:
    given = body(wake={"messages": True, "reactions": True, "calls": False})
    answer = await put(world, BOB, given)
    assert answer.status == 200
    assert answer.json["address"] == "push.example…oint"
    assert answer.json["wake"] == {"messages": True, "reactions": True, "calls": False}
    listed = await world.http(BOB).get("/apps/buzz/push")
    assert listed.json == [answer.json]
    for secret in (ENDPOINT, given["keys"]["auth"], given["keys"]["p256dh"]):
        assert secret.encode() not in listed.body


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"kind": "sms"}, "kind"),
        ({"kind": "apns", "token": "ab" * 32, "topic": "example.buzz"}, "endpoint"),
        ({"endpoint": "http://push.example/1"}, "endpoint"),
        ({"endpoint": "https://10.0.0.1/1"}, "endpoint"),
        ({"endpoint": "https://user@push.example/1"}, "endpoint"),
        ({"endpoint": "https://push.example/" + "x" * MAX_ENDPOINT_CHARACTERS}, "endpoint"),
        ({"keys": {"p256dh": "AAAA", "auth": "BTBZMqHH6r4Tts7J_aSIgg"}}, "p256dh"),
        ({"keys": {"auth": "BTBZMqHH6r4Tts7J_aSIgg"}}, "p256dh"),
        ({"device_id": ""}, "device_id"),
        ({"device_id": "a\x00b"}, "device_id"),
        ({"wake": {"emails": True}}, "emails"),
        ({"wake": {"messages": "yes"}}, "messages"),
    ],
)
async def test_what_is_wrong_is_refused_and_named(world: World, change: dict[str, Any], named: str) -> None:
    answer = await put(world, BOB, {**body(), **change})
    assert answer.status == 400
    assert named in answer.message
    assert await devices(world, BOB) == []


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"kind": "fcm", "token": "t"}, "BUZZ_PUSH_FCM_CREDENTIALS_FILE"),
        ({"kind": "apns", "token": "ab" * 32, "topic": "example.buzz"}, "BUZZ_PUSH_APNS_KEY_FILE"),
        ({"kind": "apns_voip", "token": "ab" * 32, "topic": "example.buzz"}, "BUZZ_PUSH_APNS_KEY_FILE"),
    ],
)
async def test_a_kind_that_is_not_configured_is_refused_with_its_setting(
    world: World, given: dict[str, Any], setting: str
) -> None:
    answer = await put(world, BOB, {"device_id": "phone", **given})
    assert (answer.status, setting in answer.message) == (400, True)


async def test_an_address_belongs_to_who_registered_it_last(world: World) -> None:
    await put(world, BOB, body())
    await put(world, BOB, body("tablet", f"{ENDPOINT}/2"))
    await put(world, JANE, body())
    assert (await devices(world, BOB), await devices(world, JANE)) == (["tablet"], ["phone"])
    await put(world, JANE, body("new phone"))
    assert await devices(world, JANE) == ["new phone"]


async def test_a_registration_that_is_renewed_keeps_its_marks_unless_its_address_changes(world: World) -> None:
    store = PushStore(world.node.database)
    await put(world, BOB, body())
    await world.node.database.execute("UPDATE push_registration SET pushed_id = 5, unanswered = 2, failures = 3")
    await put(world, BOB, body())
    [row] = await store.of_person(BOB)
    assert (row.pushed_id, row.unanswered, row.failures) == (5, 0, 0)
    await put(world, BOB, body(endpoint=f"{ENDPOINT}/2"))
    [row] = await store.of_person(BOB)
    assert row.pushed_id == world.node.hub.head


async def test_a_person_has_so_many_and_the_oldest_goes(world: World) -> None:
    for number in range(MAX_REGISTRATIONS + 1):
        assert (await put(world, BOB, body(f"d{number:02}", f"{ENDPOINT}/{number}"))).status == 200
        await world.node.database.execute("UPDATE push_registration SET registered_at_ms = registered_at_ms - 1")
    assert await devices(world, BOB) == [f"d{number:02}" for number in range(1, MAX_REGISTRATIONS + 1)]


async def test_registrations_are_taken_away_one_by_one_or_with_their_device(world: World) -> None:
    for device in ("phone", "tablet"):
        await put(world, BOB, body(device, f"{ENDPOINT}/{device}"))
    http = world.http(BOB)
    assert (await http("DELETE", "/apps/buzz/push/phone?kind=fcm")).status == 404
    assert (await http("DELETE", "/apps/buzz/push/phone?kind=webpush")).status == 204
    assert (await http("DELETE", "/apps/buzz/push/phone")).status == 404
    assert (await world.http(JANE)("DELETE", "/apps/buzz/push/tablet")).status == 404
    assert (await http("DELETE", "/apps/buzz/push/tablet?kind=fax")).status == 400
    assert await devices(world, BOB) == ["tablet"]


async def test_signing_a_device_out_takes_its_registration_away(world: World) -> None:
    await put(world, BOB, body())
    bob = await world.connect()
    await bob.hello(world.tokens.person(BOB), device_id="phone")
    await bob.close()
    http = world.http(BOB)
    status = 404
    while status == 404:  # the device is noted soon after its hello
        status = (await http("DELETE", "/apps/buzz/devices/phone")).status
    assert (status, await devices(world, BOB)) == (204, [])


async def test_changes_and_tests_have_a_limit(world: World) -> None:
    statuses = [(await put(world, BOB, body())).status for _ in range(CHANGES_AT_ONCE + 1)]
    assert (set(statuses[:-1]), statuses[-1]) == ({200}, 429)
    await put(world, JANE, body(endpoint="https://localhost:9/1"))
    for _ in range(TESTS_AT_ONCE):
        answer = await world.http(JANE)("POST", "/apps/buzz/push/test", json={"device_id": "phone"})
        assert [each["result"] for each in answer.json["results"]] == ["unavailable"]
    answer = await world.http(JANE)("POST", "/apps/buzz/push/test", json={"device_id": "phone"})
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_test_of_no_device_and_a_caller_without_a_token(world: World) -> None:
    answer = await world.http(BOB)("POST", "/apps/buzz/push/test", json={"device_id": "none"})
    assert answer.status == 404
    for method, path in (("PUT", ""), ("GET", ""), ("DELETE", "/phone"), ("POST", "/test"), ("GET", "/key")):
        assert (await world.http()(method, f"/apps/buzz/push{path}")).status == 401


async def test_the_key_is_the_one_that_signs(world: World) -> None:
    key = (await world.http(BOB).get("/apps/buzz/push/key")).json["public_key"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{87}", key)
    assert key == world.node.push.registrations.public_key()


async def test_without_a_key_there_is_no_web_push(directory: Path, tmp_path: Path) -> None:
    copy_directory(directory, tmp_path)
    settings = Settings(mode=Mode.PRODUCTION, data_dir=tmp_path, port=0, public_url="https://buzz.example")
    async with running_node(settings) as running, aiohttp.ClientSession() as session:
        http = Http(session, running.url, Tokens(tmp_path).person(BOB))
        assert (await http.get("/apps/buzz/push/key")).status == 404
        answer = await http("PUT", "/apps/buzz/push", json=body())
        assert (answer.status, "BUZZ_PUSH_VAPID_KEY_FILE" in answer.message) == (400, True)


async def test_no_secret_is_in_the_log(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    given = body(endpoint="https://localhost:9/secret-endpoint")
    await put(world, BOB, given)
    await world.http(BOB)("POST", "/apps/buzz/push/test", json={"device_id": "phone"})
    await put(world, BOB, {**given, "endpoint": "https://10.1.1.1/secret-endpoint"})
    written = "".join(capfd.readouterr())
    assert "device registered for push" in written
    for secret in ("secret-endpoint", json.dumps(given["keys"]["auth"])):
        assert secret not in written


async def test_operators_see_the_services_and_the_devices_that_do_not_wake(world: World) -> None:
    admin = world.http(token=world.tokens.service("admin"))
    await put(world, BOB, body())
    found = (await admin.get("/admin/push")).json
    assert {each["kind"]: (each["configured"], each["registrations"]) for each in found["kinds"]} == {
        "webpush": (True, 1), "apns": (False, 0), "apns_voip": (False, 0), "fcm": (False, 0),
    }  # fmt: skip
    assert found["silent"] == []
    await world.node.database.execute("UPDATE push_registration SET pushed_at_ms = 1000, unanswered = 2")
    [silent] = (await admin.get("/admin/push")).json["silent"]
    assert (silent["person_id"], silent["unanswered"]) == (BOB, 2)
    assert ENDPOINT not in str(silent)
    listed = await admin.get(f"/admin/people/{BOB}/push")
    assert [each["device_id"] for each in listed.json] == ["phone"]
    assert (await admin.get("/admin/people/x/push")).status == 400
    assert (await world.http(BOB).get("/admin/push")).status == 403
    [row] = await PushStore(world.node.database).of_person(BOB)
    for person in range(FEW):
        world.node.push.refusals.refused(row._replace(person_id=person), PushAnswer(PushResult.REFUSED, "HTTP 403"))
    doctor = {each["check"]: each for each in (await admin.get("/admin/doctor")).json}
    assert (doctor["push"]["health"], "webpush: HTTP 403" in doctor["push"]["detail"]) == ("warn", True)
    kinds = (await admin.get("/admin/push")).json["kinds"]
    assert [each["refused"] for each in kinds if each["kind"] == "webpush"] == ["HTTP 403"]


async def test_an_operator_tests_a_person_s_device(world: World) -> None:
    await put(world, BOB, body(endpoint="https://localhost:9/1"))
    admin = world.http(token=world.tokens.service("admin"))
    for _ in range(TESTS_AT_ONCE + 1):
        answer = await admin("POST", f"/admin/people/{BOB}/push/test", json={"device_id": "phone"})
        assert [each["result"] for each in answer.json["results"]] == ["unavailable"]


async def test_a_device_that_was_signed_out_is_registered_only_with_a_newer_token(world: World) -> None:
    token = world.tokens.person(JANE)
    http = world.http(token=token)
    phone = await world.connect()
    await phone.hello(token, device_id="phone")
    assert (await http("PUT", "/apps/buzz/push", json=body())).status == 200
    async with asyncio.timeout(60):
        while not (await http.get("/apps/buzz/devices")).json:
            pass
    assert (await http("DELETE", "/apps/buzz/devices/phone")).status == 204
    assert await devices(world, JANE) == []
    refused = await http("PUT", "/apps/buzz/push", json=body())
    assert refused.status == 401
    assert "was signed out" in refused.message
    assert await devices(world, JANE) == []
    # The token is valid still: the device that signed the other one out uses the same.
    assert (await http("PUT", "/apps/buzz/push", json=body("desk", f"{ENDPOINT}-2"))).status == 200
    newer = world.http(token=world.tokens.person(JANE))
    assert (await newer("PUT", "/apps/buzz/push", json=body())).status == 200
    assert await devices(world, JANE) == ["desk", "phone"]
