"""The operator's routes of a running node: who may use them, what they show, what a revocation and an erasure do."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from server.config.logs import current_level
from server.config.settings import LogLevel
from server.runtime.clock import wall_clock_ms
from server.services.retention import Retention
from storage.data_dir import DATABASE_NAME
from storage.sqlite import files as sqlite_files
from storage.sqlite.database import SqliteDatabase
from tests.harness.backend import POSTGRESQL, SQLITE
from tests.harness.http import Http
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE, rows, write
from tests.harness.world import World

OpenWorld = Callable[..., Awaitable[World]]
CANARY = "CANARY-8d1f0c"


def admin(world: World) -> Http:
    return world.http(token=world.tokens.service("admin"))


def admin_routes(world: World) -> list[tuple[str, str]]:
    return [
        (route.method, re.sub(r"\{[^}]+\}", "1", route.resource.canonical))
        for route in world.node.application.router.routes()
        if route.resource is not None and route.resource.canonical.startswith(("/admin/", "/metrics"))
        if route.method != "HEAD"
    ]


async def test_every_admin_route_asks_for_an_admin_token_before_anything_else(world: World) -> None:
    found = admin_routes(world)
    assert len(found) > 20
    for method, path in found:
        for http, status in (
            (world.http(), 401),
            (world.http(token="nonsense"), 401),
            (world.http(JANE), 403),
            (world.http(token=world.tokens.service("lookup")), 403),
        ):
            answer = await http(method, path, data=b"{")
            assert answer.status == status, (method, path, answer.body)
            assert answer.json["error"]["code"] == str(status)


# Health and metrics


@pytest.mark.backends(SQLITE)
async def test_the_process_is_alive_and_the_node_ready_until_it_drains(world: World) -> None:
    anybody = world.http()
    assert (await anybody.get("/healthz")).json == {"status": "ok"}
    ready = await anybody.get("/readyz")
    assert (ready.status, ready.json) == (200, {"status": "ready", "storage": "ok", "writes": "ok"})
    world.node.socket.draining = True
    draining = await anybody.get("/readyz")
    assert (draining.status, draining.json["status"]) == (503, "draining")
    assert draining.headers["Retry-After"] == "1"
    assert (await anybody.get("/healthz")).status == 200


@pytest.mark.backends(SQLITE)
async def test_a_storage_that_does_not_answer_makes_the_node_unready(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.routes.health.CHECK_SECONDS", 0.05)
    database = world.node.database
    assert isinstance(database, SqliteDatabase)
    entered, stuck = threading.Semaphore(0), threading.Event()

    def hang(_: object) -> None:
        entered.release()
        stuck.wait()

    readers = [asyncio.create_task(database.read(hang), name="stuck reader") for _ in range(3)]
    try:
        for _ in readers:
            await asyncio.to_thread(entered.acquire)
        answer = await world.http().get("/readyz")
        assert (answer.status, answer.json) == (503, {"status": "unready", "storage": "failed", "writes": "failed"})
    finally:
        stuck.set()
        await asyncio.gather(*readers)
    assert (await world.http().get("/readyz")).status == 200


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_metrics_follow_what_happens(world: World) -> None:
    jane, bob = await world.join(JANE), await world.join(BOB)
    await jane.post(chat(JANE, BOB))
    await bob.until_ids(1)
    await bob.close()
    text = (await admin(world).get("/metrics")).body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["buzz_sessions"]) == 1
    assert float(values["buzz_connects_total"]) == 2
    assert float(values['buzz_closes_total{code="1000"}']) == 1
    assert float(values["buzz_committed_activities_total"]) == 1
    assert float(values["buzz_commit_seconds_count"]) == 1
    assert float(values["buzz_send_to_push_seconds_count"]) == 1
    assert float(values['buzz_sends_total{result="stored"}']) == 1
    assert float(values["buzz_frames_received_total"]) >= 3
    assert float(values["buzz_bytes_sent_total"]) > 300
    assert float(values["process_resident_memory_bytes"]) > 0


PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.mark.usual_backends(SQLITE)
async def test_the_page_lists_every_metric(world: World) -> None:
    text = (await admin(world).get("/metrics")).body.decode()
    shown = set(re.findall(r"^# HELP (\w+)", text, re.MULTILINE))
    shown = {name.removesuffix("_total") if name.startswith("buzz_") else name for name in shown}
    listed = set(re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE))
    assert {name for name in shown if not name.startswith("process_")} == {
        name.removesuffix("_total") for name in listed if not name.startswith("process_")
    }
    assert {name for name in listed if name.startswith("process_")} <= shown


# Sessions and tokens


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_sessions_are_listed(world: World) -> None:
    await world.join(JANE, device_id="phone")
    await world.join(JANE, device_id="tablet")
    await world.join(BOB)
    found = (await admin(world).get("/admin/sessions")).json
    assert found["count"] == 3
    mine = (await admin(world).get(f"/admin/sessions?person_id={JANE}")).json
    assert [each["device_id"] for each in mine["sessions"]] == ["phone", "tablet"]
    assert set(mine["sessions"][0]) >= {"id", "person_id", "opened_at", "live", "behind_by", "token_expires_at"}
    assert (await admin(world).get("/admin/sessions?person_id=x")).status == 400
    assert (await admin(world).get("/admin/sessions?persn_id=1")).status == 400


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_sessions_show_how_far_their_devices_have_kept_everything(world: World) -> None:
    phone = await world.join(JANE, device_id="phone")
    unnamed = await world.join(JANE)
    bob = await world.join(BOB, device_id="phone")
    ids = [(await bob.post(chat(BOB, JANE)))["id"] for _ in range(3)]

    async def shown() -> dict[tuple[int, str | None], int]:
        found = (await admin(world).get("/admin/sessions")).json["sessions"]
        return {(each["person_id"], each["device_id"]): each["received_id"] for each in found}

    assert set((await shown()).values()) == {0}
    await phone.send("received", id=ids[1])
    await phone.send("received", id=ids[0])  # it never goes back
    await unnamed.send("received", id=ids[-1] + 1_000)  # nobody has kept more than there is
    for session in (phone, unnamed):
        await session.alive()
    expected = {(JANE, "phone"): ids[1], (JANE, None): ids[-1], (BOB, "phone"): 0}
    assert await shown() == expected

    async with asyncio.timeout(60):
        while not rows(world.data_dir, "SELECT 1 FROM device WHERE received_id > 0"):
            await phone.alive()
    await phone.close()
    again = await world.join(JANE, device_id="phone")  # its mark is the device's, not the session's
    await again.alive()
    assert await shown() == expected


async def test_a_revoked_token_ends_its_live_session_and_no_other(world: World) -> None:
    token = world.tokens.person(JANE)
    revoked = await world.connect()
    await revoked.hello(token)
    other = await world.join(JANE)
    answer = await admin(world)("POST", "/admin/revocations", json={"token": token})
    assert answer.status == 201
    assert await revoked.until_closed() == 4401
    await other.alive()
    http = world.http(token=token)
    async with asyncio.timeout(2):  # the node that is asked may be the last to hear of it
        while (await http.get("/apps/buzz/heartbeat")).status != 401:
            pass


async def test_revoking_a_person_from_another_process_ends_all_their_sessions_within_two_seconds(world: World) -> None:
    mine = [await world.join(JANE) for _ in range(3)]
    other = await world.join(BOB)
    started = asyncio.get_running_loop().time()
    at = wall_clock_ms()
    into = "revocation (version, token_id, person_id, revoked_at_ms, expires_at_ms)"
    insert = f"INSERT INTO {into} SELECT version, NULL, ?, ?, ? FROM revocation_counter"
    await write(
        world.data_dir,
        [
            ("UPDATE revocation_counter SET version = version + 1", ()),
            (insert, (JANE, at, at + 10**9)),
        ],
    )
    assert [await session.until_closed() for session in mine] == [4401] * 3
    assert asyncio.get_running_loop().time() - started < 2
    await other.alive()
    await world.join(JANE)  # what she gets from now on counts


@pytest.mark.usual_backends(SQLITE)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": ""}',
        b'{"token": 1}',
        b'{"token": "a.b.c"}',
        b'{"token": "x", "person_id": 1}',
        b'{"person_id": 0}',
        b'{"person_id": "456"}',
        b'{"person_id": 9223372036854775808}',
        b'{"person": 1}',
        b"\xff",
    ],
)
async def test_a_revocation_that_does_not_fit_is_refused(world: World, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await admin(world)("POST", "/admin/revocations", data=body, headers=headers)
    assert answer.status == 400, answer.body
    assert rows(world.data_dir, "SELECT count(*) FROM revocation") == [(0,)]


# Figures, the log's level, the doctor, backups, numbers


@pytest.mark.backends(SQLITE)
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/admin/sessions?person_id=1&person_id=2", "person_id"),
        ("/admin/numbers?limit=1&limit=2", "limit"),
        ("/admin/webhook-endpoints?company_id=1&company_id=1", "company_id"),
        ("/admin/webhook-deliveries?status=failed&limit=5&status=pending", "status"),
        ("/admin/trends?since=1&since=2", "since"),
    ],
)
async def test_of_a_parameter_given_twice_none_is_taken(world: World, path: str, name: str) -> None:
    answer = await admin(world).get(path)
    assert answer.status == 400
    assert answer.json["error"]["message"] == f"Bad Request: Invalid parameter: '{name}': is given more than once"


@pytest.mark.backends(SQLITE)
async def test_stats_are_figures(world: World) -> None:
    jane = await world.join(JANE)
    await jane.post(chat(JANE, BOB))
    found = (await admin(world).get("/admin/stats")).json
    assert found["log"]["head_id"] == 1
    assert found["sessions"] == {"now": 1, "behind": 0, "people": 1}
    assert found["stored"]["person"] > 200
    assert found["storage"]["dialect"] == "sqlite"
    assert found["number_source"] == "fictional"
    assert found["storage"]["wal_bytes"] == wal_bytes(world) > 0
    assert found["storage"]["bytes"] == found["storage"]["wal_bytes"] + (world.data_dir / DATABASE_NAME).stat().st_size
    assert found["metrics"]["buzz_sends_total{result=stored}"] == 1


def wal_bytes(world: World) -> int:
    return world.data_dir.joinpath(f"{DATABASE_NAME}-wal").stat().st_size


async def test_the_level_of_the_log_can_be_changed(world: World) -> None:
    before = logging.getLogger().level
    try:
        assert (await admin(world)("PUT", "/admin/log-level", json={"level": "error"})).json == {"level": "error"}
        assert current_level() is LogLevel.ERROR
        assert (await admin(world).get("/admin/log-level")).json == {"level": "error"}
        for wrong in ({"level": "loud"}, {"level": 1}, {}, {"level": "info", "more": 1}):
            assert (await admin(world)("PUT", "/admin/log-level", json=wrong)).status == 400
    finally:
        logging.getLogger().setLevel(before)


@pytest.mark.backends(SQLITE)
async def test_the_doctor_finds_a_sound_node_sound(world: World) -> None:
    found = (await admin(world).get("/admin/doctor")).json
    health = {each["check"]: each["health"] for each in found}
    assert {name: health[name] for name in ("schema", "log", "integrity", "write-ahead log", "mode")} == {
        "schema": "ok", "log": "ok", "integrity": "ok", "write-ahead log": "ok", "mode": "ok",
    }  # fmt: skip
    assert "fail" not in health.values()
    both = (world.data_dir / DATABASE_NAME).stat().st_size + wal_bytes(world)
    assert {
        "check": "integrity",
        "health": "ok",
        "detail": f"{both} bytes with the write-ahead log, no damage",
    } in found


@pytest.mark.backends(POSTGRESQL)
async def test_the_doctor_sees_a_postgresql_that_does_not_keep_what_it_was_given(world: World) -> None:
    """The tests' own server is one: it runs without fsync, to be fast."""
    found = {each["check"]: each for each in (await admin(world).get("/admin/doctor")).json}
    assert found["postgresql"]["health"] == "ok"
    assert re.match(r"\d+\.", found["postgresql"]["detail"])
    assert found["durability"]["health"] == "fail"
    assert found["durability"]["detail"].startswith("fsync is off")
    assert found["bus"]["health"] == "ok"


async def test_the_doctor_sees_a_log_whose_head_lies(world: World) -> None:
    jane = await world.join(JANE)
    await jane.post(chat(JANE, BOB))
    await write(world.data_dir, [("UPDATE log SET head = 0", ())])
    found = {each["check"]: each for each in (await admin(world).get("/admin/doctor")).json}
    assert found["log"]["health"] == "fail"
    assert "newer than the log's newest id 0" in found["log"]["detail"]


@pytest.mark.backends(SQLITE)
async def test_a_backup_of_a_busy_node_is_whole(world: World) -> None:
    jane = await world.join(JANE)
    for _ in range(20):
        await jane.post(chat(JANE, BOB))
    made, _ = await asyncio.gather(admin(world)("POST", "/admin/backups"), jane.post(chat(JANE, BOB)))
    assert made.status == 201
    path = world.data_dir / "backups" / made.json["name"]
    assert path.stat().st_size == made.json["bytes"]
    assert sqlite_files.faults(path) == []
    with sqlite_files.read_only(path) as copied:
        [count] = copied.execute("SELECT count(*) FROM activity").fetchone()
    assert count >= 20


async def test_numbers_are_added_and_listed(world: World) -> None:
    operator = admin(world)
    new = {"numbers": ["+12385551629", "+12385551630", "+12385551629"]}
    assert (await operator("POST", "/admin/numbers", json=new)).json == {"added": 2, "known": 0}
    assert (await operator("POST", "/admin/numbers", json=new)).json == {"added": 0, "known": 2}
    found = (await operator.get("/admin/numbers?limit=1")).json
    assert found["numbers"] == [{"number": "+12385551629", "state": "free", "person_id": None, "until": None}]
    assert found["counts"]["free"] == 2
    following = (await operator.get("/admin/numbers", params={"after": "+12385551629"})).json
    assert [each["number"] for each in following["numbers"]] == ["+12385551630"]


@pytest.mark.usual_backends(SQLITE)
@pytest.mark.parametrize(
    "wrong", [{"numbers": []}, {"numbers": ["12385551629"]}, {"numbers": ["+1"]}, {"numbers": "+12385551629"}, {}, []]
)
async def test_numbers_that_are_none_are_refused_whole(world: World, wrong: Any) -> None:
    assert (await admin(world)("POST", "/admin/numbers", json=wrong)).status == 400
    mixed = {"numbers": ["+12385551629", "oops"]}
    answer = await admin(world)("POST", "/admin/numbers", json=mixed)
    assert "'numbers.1'" in answer.message
    assert (await admin(world).get("/admin/numbers")).json["numbers"] == []


# Erasure and retention


async def fill_with_canaries(world: World) -> None:
    """Everything that Buzz can know of Jane, each with a canary."""
    jane = world.http(JANE)
    session = await world.join(JANE, device_id=f"{CANARY}-device")
    for number in range(30):
        ack = await session.post(chat(JANE, BOB, f"{CANARY}-text-{number}", idempotency_key=f"{CANARY}-key-{number}"))
        assert ack["type"] == "ack"
    await session.send("received", id=30)
    key = base64.b64encode(CANARY.encode().ljust(32)).decode()
    for path, body in (
        ("/apps/buzz/encryption", {"hash": f"{CANARY}-hash", "e2e_id": f"{CANARY}-e2e"}),
        ("/apps/buzz/public-key", {"public_key": key, "algorithm": "x25519", "device_id": f"{CANARY}-key-device"}),
    ):
        assert (await jane("PUT", path, json=body)).status == 200
    person = {"first_name": f"{CANARY}-first", "last_name": f"{CANARY}-last", "numbers": ["+12025550101"]}
    assert (await admin(world)("PUT", f"/admin/directory/person/{JANE}", json=person)).status == 200
    contact = {"person_id": JANE, "first_name": f"{CANARY}-contact", "last_name": "x", "numbers": [], "trusted": True}
    assert (await admin(world)("PUT", "/admin/directory/contact/9", json=contact)).status == 200
    assert (await jane.get("/apps/buzz/heartbeat")).json["number"] is not None
    await session.until(lambda _: rows(world.data_dir, "SELECT 1 FROM device WHERE received_id = 30") or None)
    await session.close()


def files_with(folder: Path, text: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


@pytest.mark.backends(SQLITE)
async def test_an_erased_person_is_in_no_file_and_breaks_nobodys_cursor(world: World) -> None:
    await fill_with_canaries(world)
    assert files_with(world.data_dir, CANARY.encode()) != []
    jane = await world.join(JANE)
    bob = await world.join(BOB, last=0)
    await bob.until_ids(30)
    answer = await admin(world)("POST", "/admin/erasures", json={"person_id": JANE})
    assert answer.status == 200
    assert answer.json == {
        "person_id": JANE, "in_directory": True, "activities_emptied": 30, "devices": 1, "privacy_requests": 0,
    }  # fmt: skip
    assert await jane.until_closed() == 4401
    assert files_with(world.data_dir, CANARY.encode()) == []
    assert files_with(world.data_dir, b"+12025550101") == []
    # Bob's session goes on, and a new device of his gets the tombstones in their places.
    await bob.post(chat(BOB, BOB, "still here"))
    late = await world.join(BOB, last=0)
    assert await late.until_ids(31) == list(range(1, 32))
    assert {activity["message"] for activity in late.activities[:30]} == {None}
    assert CANARY not in str(late.frames)
    assert (await admin(world)("POST", "/admin/erasures", json={"person_id": JANE})).json["in_directory"] is False


async def test_old_text_is_emptied_where_the_operator_wants_it(world: World) -> None:
    jane = await world.join(JANE)
    for _ in range(3):
        await jane.post(chat(JANE, BOB, CANARY))
    now = rows(world.data_dir, "SELECT max(created_at_ms) FROM activity")[0][0]
    assert isinstance(now, int)
    await write(
        world.data_dir, [("UPDATE activity SET created_at_ms = created_at_ms - 8 * 86400000 WHERE id <= 2", ())]
    )
    retention = Retention(world.node.store, world.node.hub, 7, lambda: now)
    assert await retention.sweep() == 2
    assert await retention.sweep() == 0
    bob = await world.join(BOB, last=0)
    await bob.until_ids(3)
    assert [activity["message"] for activity in bob.activities] == [None, None, CANARY]
