"""One person's data as a file: what an erasure would take away, for the person and for an operator."""

from __future__ import annotations

import base64
import json
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest

from protocol.activity import rfc3339
from server.http.sending import AnswerKind
from server.routes.personal_data import EXPORTS_AT_ONCE
from server.runtime.clock import wall_clock_ms
from server.services.operator import personal_data as subjects
from server.services.operator.personal_data import RECORDING_PART_BYTES
from storage import personal_data
from storage.database import Database
from tests.harness.backend import SQLITE
from tests.harness.commands import RunPy, as_before, held, on_target, run_py, target
from tests.harness.http import Http
from tests.harness.peer import chat
from tests.harness.people import ACME, BOB, GLOBEX, JANE
from tests.harness.watch import Watch
from tests.harness.world import World

__all__ = ["as_before", "held", "on_target", "run_py", "target"]

NUMBER = "+12025550199"
MP3 = b"\xff\xfb\x90\x64" + bytes(range(256)) * 3_000
SECRET = "CANARY-5a1e"
NOW = wall_clock_ms()
"""Recent: what is old is deleted while the nodes start."""

# What the erasure writes for the node's own work: no personal data, and nothing that an export could have.
BOOKKEEPING = {
    *("revocation", "revocation_counter", "directory_change", "directory_counter", "log_amendment", "log"),
    *("privacy_head", "privacy_audit", "webhook_counter", "webhook_lane", "log_index", "party_activity"),
    *("conversation_activity", "message_key"),
}
KINDS: dict[str, str] = {
    "privacy_request": "privacy_request",
    "recording": "recording",
    "activity": "activity",
    personal_data.IDEMPOTENCY_KEYS.kind: "activity",
    **{
        each.kind: each.table
        for each in (
            *personal_data.KEYS,
            *personal_data.CALLS,
            *personal_data.DEVICES,
            *personal_data.DIRECTORY,
            *personal_data.OF_REQUEST,
        )
    },
}


def admin(world: World) -> Http:
    return world.http(token=world.tokens.service("admin"))


def lines(body: bytes) -> list[dict[str, Any]]:
    """The lines of an export, without the end, which must be right."""
    assert body.endswith(b"\n")
    *found, end = [json.loads(line) for line in body.splitlines()]
    assert end == {"kind": "end", "lines": len(found)}
    return found


async def fill(world: World) -> None:
    """Put at least one row about Jane into each table that has personal data, and rows about Bob beside them."""
    rows: list[tuple[str, tuple[Any, ...]]] = []
    for person, number in ((JANE, NUMBER), (BOB, "+12025550188")):
        mark = SECRET if person == JANE else "bob"
        rows += [
            ("phone (e164, owner_kind, owner_id, person_id)", (number, "person", person, 0)),
            ("phone (e164, owner_kind, owner_id, person_id)", ("+12025550177", "contact", person + 50_000, person)),
            ("contact (id, person_id, first_name, trusted)", (person + 50_000, person, mark, True)),
            ("trusted_company (person_id, company_id)", (person, ACME)),
            ("member (company_id, person_id)", (GLOBEX, person)),
            (
                "buzz_number (id, e164, state, person_id, changed_at_ms)",
                (f"number {person}", f"+1202555{person:04}", "allocated", person, NOW),
            ),
            ("encryption (person_id, hash, e2e_id, updated_at_ms)", (person, mark, "e2e", NOW)),
            (
                "public_key (id, person_id, device_id, algorithm, public_key, fingerprint, updated_at_ms)",
                (f"key {person}", person, "phone", "x25519", mark, "f", NOW),
            ),
            (
                "incoming_call (id, person_id, called, call_id, caller, caller_id, country_code, phone_number,"
                " verified, trusted, reason, reasons, certainty, recorded_from, outcome, call_time, created_at_ms)",
                (
                    *(person, person, number, mark, "+12025550166", "+12025550166", "1", "2025550166", "none"),
                    *(0, "unknown", '[["contact", 5]]', None, None, "blocked", None, NOW),
                ),
            ),
            (
                "blocked_call (id, person_id, caller_id, country_code, phone_number, created_at_ms)",
                (person, person, "+12025550166", "1", "2025550166", NOW),
            ),
            ("call_seen (key, person_id, at_ms, window_ms)", (f"seen {person}", person, NOW, 1)),
            ("call_setting (person_id, attestation)", (person, "require")),
            ("device (person_id, device_id, received_id, seen_at_ms)", (person, mark, 0, NOW)),
            ("receipts_off (person_id)", (person,)),
            (
                "push_registration (person_id, device_id, kind, address, details, wake_messages, wake_reactions,"
                " wake_calls, registered_at_ms, pushed_id, received_at_push, unanswered, cleared, failures,"
                " given_up_id, attempts, lease_until_ms)",
                (person, "phone", "fcm", f"token of {mark}", "{}", 1, 0, 1, NOW, 1_000, 0, 0, 0, 0, 0, 0, 0),
            ),
        ]
    rows += [
        ("trust_request (id, person_id, from_party, created_at_ms)", (1, JANE, -ACME, NOW)),
        ("trust_request (id, person_id, from_party, created_at_ms)", (2, BOB, JANE, NOW)),
        *request_rows("r-jane", NUMBER, SECRET),
        *request_rows("r-bob", "+12025550188", "bob"),
    ]
    async with world.node.database.transaction() as transaction:
        for into, values in rows:
            await transaction.execute(f"INSERT INTO {into} VALUES ({', '.join('?' * len(values))})", *values)
    jane, bob = await world.join(JANE), await world.join(BOB)
    for number_ in range(3):
        await jane.post(chat(JANE, BOB, f"{SECRET} {number_}"))
    await bob.post(chat(BOB, JANE, "of Bob"))
    kept = await world.http(JANE).post(chat(JANE, BOB, SECRET), headers={"Idempotency-Key": f"key of {SECRET}"})
    assert kept.status == 200


def request_rows(request_id: str, number: str, mark: str) -> list[tuple[str, tuple[Any, ...]]]:
    endpoint_id = 1 if mark == SECRET else 2
    return [
        (
            "privacy_request (id, company_id, type, acknowledged, extended, completed, revision, created_at_ms,"
            " updated_at_ms, service_code, service_code_name, service_code_created_at_ms, service_code_updated_at_ms,"
            " source_signed_at_ms, source_flags, received_day)",
            (request_id, ACME, "Voicemail", False, False, False, 0, NOW, NOW, "57", "Acme", NOW, NOW, 0, 0, 19_675),
        ),
        (
            "call_session (request_id, call_sid, created_at_ms, caller_id, caller_name, caller_state,"
            " recording_status, transcription_status, transcription_text)",
            (request_id, f"CA {request_id}", NOW, number, mark, "CA", "completed", "completed", mark),
        ),
        ("recording (request_id, mp3, stored_at_ms)", (request_id, MP3, NOW)),
        (
            "recording_fetch (request_id, recording_sid, failures, due_at_ms, lease_until_ms)",
            (request_id, f"RE {request_id}", 0, wall_clock_ms() + 600_000, 0),  # a node moves back what is later
        ),
        ("twilio_copy (sid, request_id, failures, lease_until_ms)", (f"RE {request_id}", request_id, 0, 0)),
        (
            "webhook_endpoint (id, company_id, url, format, enabled, api_key, secret, created_at_ms, updated_at_ms)",
            (
                endpoint_id,
                GLOBEX,
                "https://hooks.example/",
                "json",
                False,
                f"{mark} api key",
                f"whsec_{mark}",
                NOW,
                NOW,
            ),
        ),
        (
            "webhook_delivery (id, endpoint_id, request_id, event_name, with_recording, status, attempts, failures,"
            " created_at_ms, attempted_at_ms, finished_at_ms, answer, error)",
            (endpoint_id, endpoint_id, request_id, "x", True, "delivered", 1, 0, NOW, NOW, NOW, f"thanks {mark}", ""),
        ),
        (
            "webhook_attempt (delivery_id, number, at_ms, http_status, duration_ms, error, answer, payload)",
            (endpoint_id, 1, NOW, 200, 1, "", f"thanks {mark}", json.dumps({"caller_name": mark})),
        ),
    ]


async def tables(database: Database) -> list[str]:
    sql = {
        "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        "postgresql": "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()",
    }
    return [name for (name,) in await database.fetch(sql[database.dialect])]


async def everything(database: Database) -> dict[str, Counter[str]]:
    """Every row of every table."""
    return {
        table: Counter(repr(tuple(row)) for row in await database.fetch(f"SELECT * FROM {table}"))
        for table in await tables(database)
    }


async def test_an_export_has_what_an_erasure_takes_away(world: World, watch: Watch) -> None:
    watch.expect("what was erased is still at Twilio: set BUZZ_TWILIO_ACCOUNT_SID and BUZZ_TWILIO_AUTH_TOKEN")
    await fill(world)
    database = world.node.database
    before = await everything(database)
    answer = await admin(world).get(f"/admin/people/{JANE}/export")
    assert answer.status == 200
    exported = lines(answer.body)
    assert await everything(database) == before, "an export changes nothing"
    assert (await admin(world)("POST", "/admin/erasures", json={"person_id": JANE})).status == 200
    after = await everything(database)
    # A change of Jane's trust requests and companies moves the times of others in their heartbeat.
    lost = {table: held - after[table] for table, held in before.items() if table not in BOOKKEEPING}
    lost["person"] = Counter({row: 1 for row in lost["person"] if row.startswith(f"({JANE},")})
    erased = {table: rows.total() for table, rows in lost.items() if rows}
    kinds = Counter(line["kind"] for line in exported)
    shown = Counter[str]()
    for kind, count in kinds.items():
        shown[KINDS[kind]] += count
    assert set(erased) - {"call_session"} == set(shown), "call_session is part of a privacy request's line"
    parts = -(-len(MP3) // RECORDING_PART_BYTES)
    more = {"recording": parts - 1, "activity": 1}  # its parts; the line of the idempotency key
    assert {table: count - more.get(table, 0) for table, count in shown.items()} == {
        table: count for table, count in erased.items() if table != "call_session"
    }
    assert SECRET in json.dumps(exported)
    left = json.dumps({table: list(rows) for table, rows in after.items() if table != "webhook_endpoint"})
    assert SECRET not in left
    assert lines((await admin(world).get(f"/admin/people/{JANE}/export")).body) == []


async def test_an_export_has_nothing_of_others_and_no_secrets(world: World) -> None:
    await fill(world)
    exported = lines((await world.http(JANE).get("/apps/buzz/export")).body)
    text = json.dumps(exported)
    assert '"bob"' not in text
    assert "of Bob" not in text
    assert f"{SECRET} api key" not in text
    assert "whsec_" not in text
    recording = [line for line in exported if line["kind"] == "recording"]
    assert [line["part"] for line in recording] == list(range(1, recording[0]["parts"] + 1))
    assert b"".join(base64.b64decode(line["mp3_base64"]) for line in recording) == MP3
    (request,) = [line for line in exported if line["kind"] == "privacy_request"]
    assert request["call_session"]["transcription_text"] == SECRET
    (call,) = [line for line in exported if line["kind"] == "call"]
    assert (call["reasons"], call["created_at"], call["trusted"]) == ([["contact", 5]], rfc3339(NOW), False)
    assert {line["from"] for line in exported if line["kind"] == "trust_request"} == {
        f"company:{ACME}",
        f"person:{JANE}",
    }


async def test_a_person_gets_the_same_as_an_operator(world: World) -> None:
    await fill(world)
    mine = await world.http(JANE).get("/apps/buzz/export")
    assert mine.status == 200
    assert mine.headers["Content-Type"] == "application/x-ndjson"
    assert mine.headers["Cache-Control"] == "private, no-store"
    assert mine.body == (await admin(world).get(f"/admin/people/{JANE}/export")).body
    assert (await world.http().get("/apps/buzz/export")).status == 401
    assert (await world.http(JANE).get(f"/admin/people/{BOB}/export")).status == 403
    assert (await admin(world).get("/apps/buzz/export")).status == 403


async def test_a_person_exports_a_limited_number_of_times(world: World) -> None:
    jane = [Http(world._http, world.url, world.tokens.person(JANE)) for _ in range(EXPORTS_AT_ONCE + 1)]
    answers = [await each.get("/apps/buzz/export") for each in jane]
    assert [answer.status for answer in answers] == [*[200] * EXPORTS_AT_ONCE, 429]
    assert int(answers[-1].headers["Retry-After"]) > 1
    assert (await Http(world._http, world.url, world.tokens.person(BOB)).get("/apps/buzz/export")).status == 200


async def test_an_export_is_one_of_the_persons_streams(world: World) -> None:
    request: Any = None
    with ExitStack() as streams:
        for _ in range(AnswerKind.HISTORY.value):
            streams.enter_context(world.node.sending.begun(request, AnswerKind.HISTORY, JANE))
        refused = await Http(world._http, world.url, world.tokens.person(JANE)).get("/apps/buzz/export")
        assert refused.status == 429
    assert (await Http(world._http, world.url, world.tokens.person(JANE)).get("/apps/buzz/export")).status == 200


async def test_a_long_history_is_read_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal_data, "PAGE_ROWS", 3)
    most = 0
    fetch = type(world.node.database).fetch

    async def counting(self: Any, sql: str, *parameters: Any) -> Any:
        nonlocal most
        found = await fetch(self, sql, *parameters)
        if "blocked_call" in sql:
            most = max(most, len(found))
        return found

    monkeypatch.setattr(type(world.node.database), "fetch", counting)
    async with world.node.database.transaction() as transaction:
        await transaction.execute_many(
            "INSERT INTO blocked_call (id, person_id, caller_id, country_code, phone_number, created_at_ms)"
            " VALUES (?, ?, ?, '1', '2025550166', ?)",
            [(number, JANE, f"caller {number}", NOW) for number in range(1, 11)],
        )
    monkeypatch.setattr(subjects, "_ROWS_A_PAGE", 2)
    jane, bob = await world.join(JANE), await world.join(BOB)
    for number in range(5):
        await jane.post(chat(JANE, BOB, f"mine {number}"))
        await bob.post(chat(BOB, JANE, "not mine"))
    exported = lines((await world.http(JANE).get("/apps/buzz/export")).body)
    assert [line["message"] for line in exported if line["kind"] == "activity"] == [f"mine {n}" for n in range(5)]
    assert [line["caller_id"] for line in exported if line["kind"] == "blocked_call"] == [
        f"caller {number}" for number in range(1, 11)
    ]
    assert most == 3


@pytest.mark.backends(SQLITE)
def test_the_command_saves_the_export_to_a_new_file(on_target: RunPy, target: Any, tmp_path: Any) -> None:
    file = tmp_path / "jane.ndjson"
    done = on_target("export", "--person", JANE, "--output", file).check()
    assert done.out == ""
    assert f"lines about person {JANE} are in" in done.err.replace("\n", "")
    found = lines(file.read_bytes())
    assert {"kind": "person", "id": JANE}.items() <= found[0].items()
    assert file.stat().st_mode & 0o777 == 0o600
    again = on_target("export", "--person", JANE, "--output", file)
    assert (again.status, "exists already" in again.err) == (1, True)
    assert lines(on_target("export", "--person", JANE).check().out.encode()) == found
    nobody = on_target("export", "--person", 999_999, "--output", tmp_path / "nobody.ndjson")
    assert (nobody.status, "there is no person 999999" in nobody.err) == (1, True)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["jane.ndjson"]
