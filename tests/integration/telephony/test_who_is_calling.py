"""Calls from every kind of caller, end to end: who rings, what the app is shown, and whose history the call is in.

Every request is signed by Twilio's own package, as Twilio signs it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring
from twilio.request_validator import RequestValidator

from protocol.call import message_id
from protocol.directory import Company, Contact, Kind, Member, Person, TrustedCompany
from storage.postgresql.database import PostgresDatabase
from tests.fakes.twilio import call
from tests.harness.backend import rows, write
from tests.harness.peer import WAIT_SECONDS
from tests.harness.people import copy_directory
from tests.harness.watch import Watch
from tests.integration.telephony.conftest import (
    PUBLIC_URL,
    TWILIO_TOKEN,
    Buzz,
    Clock,
    event,
    fill,
    open_buzz,
    put_directory,
)

ME, STRANGER, COWORKER, OTHER_STRANGER, APP_ONLY, FRIEND = 1, 3, 4, 5, 6, 7
ACME = 123
MY_NUMBER, COWORKERS_BUZZ_NUMBER = "+12385551629", "+12385551630"
SHARED_WITH_A_STRANGER, ACMES_PHONE, COUSINS_PHONE = "+12025550177", "+18005550100", "+12025550123"
FRIENDS_PHONE, DISTRUSTED, ABROAD = "+12025550140", "+12025550150", "+442079460000"
EVERYBODY = (ME, STRANGER, COWORKER, OTHER_STRANGER, APP_ONLY, FRIEND)
BUZZ_NUMBERS = {MY_NUMBER: ME, COWORKERS_BUZZ_NUMBER: COWORKER}
COMPLETED = {"DialCallStatus": "completed", "DialBridged": "true", "DialCallDuration": "42"}

OBJECTS = {
    Kind.PERSON: (
        Person(ME, "Jane", None, "Smith", None, ("+12025550111",)),
        Person(STRANGER, "Sam", None, "Stone", None, (SHARED_WITH_A_STRANGER,)),
        Person(COWORKER, "Cora", None, "Work", None, (SHARED_WITH_A_STRANGER,)),
        Person(OTHER_STRANGER, "Otto", None, "Stone", None, (ACMES_PHONE,)),
        Person(APP_ONLY, "Ada", None, "Pp", None, ()),
        Person(FRIEND, "Fred", None, "Friend", None, (FRIENDS_PHONE,)),
    ),
    Kind.COMPANY: (Company(ACME, "Acme", None, (ACMES_PHONE,)), Company(124, "Works", None, ())),
    Kind.MEMBER: (Member(124, ME), Member(124, COWORKER), Member(124, APP_ONLY), Member(124, 8)),
    Kind.CONTACT: (
        Contact(9, ME, "Cousin", None, "Vi", None, True, (COUSINS_PHONE, ABROAD)),
        Contact(10, ME, "Me", None, None, None, True, (MY_NUMBER, "+12025550111")),
        Contact(11, ME, "Fred", None, None, None, True, (FRIENDS_PHONE,)),
        Contact(12, ME, "No", None, None, None, False, (DISTRUSTED,)),
    ),
    Kind.TRUSTED_COMPANY: (TrustedCompany(ME, ACME),),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("callers")
    asyncio.run(fill(data_dir / "buzz.db", OBJECTS, BUZZ_NUMBERS))
    return data_dir


@pytest.fixture
def data_dir(template: Path, tmp_path: Path) -> Path:
    return copy_directory(template, tmp_path / "data")


@pytest.fixture
async def buzz(watch: Watch, data_dir: Path, clock: Clock) -> AsyncIterator[Buzz]:
    async with open_buzz(data_dir, clock) as opened:
        yield opened


_sids: Iterator[int] = itertools.count(1)


@dataclass
class Call:
    """Twilio's side of one call to Jane."""

    buzz: Buzz
    caller: str
    more: dict[str, str] = field(default_factory=dict)
    sid: str = field(default_factory=lambda: f"CA{next(_sids):032x}")

    async def rings(self) -> bool:
        """Ask the voice URL whether the phone rings."""
        [verb] = await self._post("/twilio/voice", {"CallStatus": "ringing"})
        assert (verb.tag, [client.text for client in verb]) in [("Dial", [f"person_{ME}"]), ("Reject", [])]
        return bool(verb.tag == "Dial")

    async def ends(self, **how: str) -> None:
        """Tell Buzz what became of it."""
        await self._post("/twilio/voice/ended", how or COMPLETED)

    async def _post(self, path: str, more: dict[str, str]) -> Any:
        form = call(self.sid, **{"From": self.caller, "To": MY_NUMBER, "CallerName": "", **self.more, **more})
        signature = RequestValidator(TWILIO_TOKEN).compute_signature(PUBLIC_URL + path, dict(form))
        headers = {"X-Twilio-Signature": signature}
        async with self.buzz.client.post(path, data=form, headers=headers) as response:
            assert (response.status, response.content_type) == (200, "text/xml"), await response.text()
            return list(fromstring(await response.read()))


async def histories(buzz: Buzz) -> dict[int, list[Any]]:
    """The activities that each person sees, of those who see any."""
    found = {}
    for person in EVERYBODY:
        status, answer = await buzz.get("/apps/buzz/activity/0", buzz.person(person))
        assert status == 200
        if answer:
            found[person] = answer
    return found


async def calls(buzz: Buzz, person: int = ME) -> Any:
    """A person's list of calls."""
    status, answer = await buzz.get("/apps/buzz/calls", buzz.person(person))
    assert status == 200
    return answer


def security(caller: str) -> str:
    return "secure" if caller.startswith("client:") else "insecure"


def one(party: str) -> tuple[str, int]:
    kind, _, id = party.partition(" ")
    return kind, int(id)


def sender(activity: Any) -> str:
    return f"{activity['sendable_type'].removeprefix('AppModels').lower()} {activity['sendable_id']}"


@pytest.mark.parametrize(
    ("caller", "recorded_from", "seen_by", "trusted_by"),
    [
        (f"client:person_{APP_ONLY}", f"person {APP_ONLY}", {ME, APP_ONLY}, {f"coworker {APP_ONLY}"}),
        (f"client:person_{COWORKER}", f"person {COWORKER}", {ME, COWORKER}, {f"coworker {COWORKER}"}),
        (f"client:person_{FRIEND}", f"person {FRIEND}", {ME, FRIEND}, {f"person {FRIEND}"}),
        (SHARED_WITH_A_STRANGER, f"person {COWORKER}", {ME, COWORKER}, {f"coworker {COWORKER}"}),
        (COWORKERS_BUZZ_NUMBER, f"person {COWORKER}", {ME, COWORKER}, {f"coworker {COWORKER}"}),
        (FRIENDS_PHONE, f"person {FRIEND}", {ME, FRIEND}, {"contact 11", f"person {FRIEND}"}),
        (ACMES_PHONE, f"company {ACME}", {ME}, {f"company {ACME}"}),
        (COUSINS_PHONE, None, set(), {"contact 9"}),
    ],
)
async def test_a_trusted_call_is_in_the_history_of_its_two_sides_and_of_nobody_else(
    buzz: Buzz, caller: str, recorded_from: str | None, seen_by: set[int], trusted_by: set[str]
) -> None:
    call = Call(buzz, caller)
    assert await call.rings()
    await call.ends()
    found = await histories(buzz)
    assert set(found) == seen_by
    [entry] = await calls(buzz)
    assert (entry["call_id"], entry["message_id"]) == (call.sid, message_id(call.sid))
    assert (entry["outcome"], entry["call_time"], entry["reason"]) == (f"connected_{security(caller)}", 42, None)
    assert {f"{each['type']} {each['id']}" for each in entry["trusted_by"]} == trusted_by
    assert entry["certainty"] == ("app" if caller.startswith("client:") else "number")
    if recorded_from is not None:
        assert entry["recorded_from"] == dict(zip(("type", "id"), one(recorded_from), strict=True))
    for activities in found.values():
        [activity] = activities
        assert sender(activity) == recorded_from
        assert (activity["type"], activity["call_time"]) == (f"incoming_call_connected_{security(caller)}", 42)
        assert activity["message_id"] == entry["message_id"]
    for stranger in set(EVERYBODY) - {ME}:
        assert await calls(buzz, stranger) == []


@pytest.mark.parametrize(
    ("caller", "reason"),
    [
        (f"client:person_{STRANGER}", "unknown"),
        ("client:person_99", "unknown"),
        (f"client:person_{ME}", "own_number"),
        (MY_NUMBER, "own_number"),
        ("+12025550111", "own_number"),
        (DISTRUSTED, "untrusted_contact"),
        ("+19876543210", "unknown"),
        ("client:somebody", "no_number"),
        ("anonymous", "no_number"),
        ("+266696687", "no_number"),
        ("sip:cora@example.com", "no_number"),
        (f"sip:{COUSINS_PHONE}@example.com;transport=tls", "no_number"),
    ],
)
async def test_a_caller_who_is_not_trusted_is_rejected_listed_and_in_no_history(
    buzz: Buzz, caller: str, reason: str
) -> None:
    call = Call(buzz, caller)
    assert not await call.rings()
    await call.ends()
    [blocked] = await buzz.blocked(ME, at_least=1)
    assert (blocked["call_id"], blocked["reason"]) == (call.sid, reason)
    # All that it takes to trust this caller from now on, where there is a number.
    assert blocked["number"] == (caller if caller.startswith("+") and reason != "no_number" else None)
    [entry] = await calls(buzz)
    assert (entry["outcome"], entry["trusted_by"], entry["call_time"]) == ("blocked", [], None)
    shown = set(blocked) & set(entry)
    assert {name: entry[name] for name in shown} == {name: blocked[name] for name in shown}
    assert await histories(buzz) == {}


@pytest.mark.parametrize(
    ("verstat", "verified", "rings"),
    [
        ("TN-Validation-Passed-A", "passed-a", True),
        ("TN-Validation-Passed-B-Diverted", "passed-b", True),
        ("TN-Validation-Passed-C-Passthrough", "passed-c", True),
        ("No-TN-Validation", "none", True),
        ("TN-Validation-Passed-Z", "none", True),
        ("TN-Validation-Failed-A", "failed", False),
        ("TN-Validation-Failed-C-Diverted", "failed", False),
        ("TN-Validation-Failed", "failed", False),
    ],
)
async def test_a_call_whose_validation_failed_is_not_from_the_contact_whose_number_it_shows(
    buzz: Buzz, verstat: str, verified: str, rings: bool
) -> None:
    async with buzz.live(ME) as me:
        call = Call(buzz, COUSINS_PHONE, {"StirVerstat": verstat})
        assert await call.rings() is rings
        name, data = await event(me)
        assert (name, data["call_id"], data["verified"]) == (
            "call.ringing" if rings else "call.blocked",
            call.sid,
            verified,
        )
    if not rings:
        assert data["reason"] == "failed_verification"
        [blocked] = await buzz.blocked(ME, at_least=1)
        assert blocked == data
    await call.ends()
    [entry] = await calls(buzz)
    assert (entry["verified"], entry["outcome"]) == (verified, "connected_insecure" if rings else "blocked")
    assert entry["certainty"] == (("attested" if verified == "passed-a" else "number") if rings else None)


@pytest.mark.parametrize(
    ("setting", "caller", "verstat", "rings"),
    [
        ({"attestation": "require"}, COUSINS_PHONE, "TN-Validation-Passed-A", True),
        ({"attestation": "require"}, COUSINS_PHONE, "TN-Validation-Passed-B", True),
        ({"attestation": "require"}, COUSINS_PHONE, "TN-Validation-Passed-C", False),
        ({"attestation": "require"}, COUSINS_PHONE, "", False),
        ({"attestation": "require", "attestation_level": "A"}, COUSINS_PHONE, "TN-Validation-Passed-B", False),
        ({"attestation": "require", "attestation_level": "C"}, COUSINS_PHONE, "TN-Validation-Passed-C", True),
        ({"attestation": "require"}, ABROAD, "", True),
        ({"attestation": "require"}, ABROAD, "TN-Validation-Failed-A", False),
        ({"attestation": "require"}, f"client:person_{APP_ONLY}", "", True),
        ({"attestation": "ignore"}, COUSINS_PHONE, "TN-Validation-Failed-A", True),
    ],
)
async def test_what_the_operator_asks_of_signatures(
    watch: Watch, data_dir: Path, clock: Clock, setting: dict[str, str], caller: str, verstat: str, rings: bool
) -> None:
    async with open_buzz(data_dir, clock, **setting) as buzz:
        assert await Call(buzz, caller, {"StirVerstat": verstat} if verstat else {}).rings() is rings
        code, number = ("44", "2079460000") if caller == ABROAD else ("1", COUSINS_PHONE[2:])
        lookup = {"number_code": "1", "number": MY_NUMBER[2:], "inbound_code": code, "inbound": number}
        if caller.startswith("client:"):
            lookup["inbound"] = caller
        answer = await buzz.trust(**lookup, **({"stir_verstat": verstat} if verstat else {}))
        assert answer == {"trusted": rings, "user_id": ME}


async def test_another_caller_is_not_trusted_by_the_same_call_sid(buzz: Buzz) -> None:
    call = Call(buzz, COUSINS_PHONE)
    assert await call.rings()
    await call.ends()
    assert not await Call(buzz, "+19876543210", sid=call.sid).rings()
    assert not await Call(buzz, MY_NUMBER, sid=call.sid).rings()


@pytest.mark.parametrize("restart", [False, True])
async def test_a_call_is_decided_once_whatever_changes_meanwhile(
    watch: Watch, data_dir: Path, clock: Clock, restart: bool
) -> None:
    """Also for a repeat of the request and for the end of the call, and when these reach another process."""
    everything = ("DELETE FROM contact", "DELETE FROM phone", "DELETE FROM member", "DELETE FROM trusted_company")
    async with AsyncExitStack() as stack:
        buzz = await stack.enter_async_context(open_buzz(data_dir, clock))
        rung = [Call(buzz, each) for each in (ACMES_PHONE, SHARED_WITH_A_STRANGER, COUSINS_PHONE)]
        rejected = Call(buzz, DISTRUSTED)
        assert [await each.rings() for each in (*rung, rejected)] == [True, True, True, False]
        await buzz.blocked(ME, at_least=1)
        if restart:
            await stack.aclose()
            buzz = await stack.enter_async_context(open_buzz(data_dir, clock))
        with_trust = "INSERT INTO phone (e164, owner_kind, owner_id, person_id) VALUES (?, 'person', ?, 0)"
        await write(data_dir, [(sql, ()) for sql in everything])
        await write(data_dir, [(with_trust, (ACMES_PHONE, OTHER_STRANGER))])
        for each in (*rung, rejected):
            each.buzz = buzz
            assert await each.rings() is (each is not rejected)
            await each.ends()
        assert not await Call(buzz, ACMES_PHONE).rings(), "another call is decided by what is so now"
        found = await histories(buzz)
        assert {person: [sender(each) for each in seen] for person, seen in found.items()} == {
            ME: [f"company {ACME}", f"person {COWORKER}"],
            COWORKER: [f"person {COWORKER}"],
        }
        outcomes = {entry["call_id"]: entry["outcome"] for entry in await calls(buzz)}
        assert [outcomes[each.sid] for each in (*rung, rejected)] == ["connected_insecure"] * 3 + ["blocked"]


async def test_the_end_of_a_call_reaches_another_node(
    watch: Watch, tmp_path: Path, clock: Clock, postgres_url: str
) -> None:
    database = await PostgresDatabase.open(postgres_url)
    await put_directory(database, OBJECTS, BUZZ_NUMBERS)
    shared = {"database_url": postgres_url, "signing_key_file": tmp_path / "a" / "signing-key.pem"}
    async with (
        open_buzz(tmp_path / "a", clock, **shared) as here,
        open_buzz(tmp_path / "b", clock, **shared) as there,
    ):
        there.tokens = here.tokens
        rung, rejected = Call(here, SHARED_WITH_A_STRANGER), Call(here, DISTRUSTED)
        assert [await rung.rings(), await rejected.rings()] == [True, False]
        async with asyncio.timeout(WAIT_SECONDS):
            while len(await calls(there)) < 2:
                pass
        async with database.transaction() as transaction:
            await transaction.execute("DELETE FROM member")
            await transaction.execute("DELETE FROM contact WHERE NOT trusted")
        rung.buzz = rejected.buzz = there
        assert [await rung.rings(), await rejected.rings()] == [True, False]
        await rung.ends()
        assert {entry["outcome"] for entry in await calls(there)} == {"connected_insecure", "blocked"}
        assert {who: [sender(each) for each in seen] for who, seen in (await histories(there)).items()} == {
            person: [f"person {COWORKER}"] for person in (ME, COWORKER)
        }
    await database.close()


@pytest.mark.parametrize(
    ("caller_name", "recorded_from"),
    [("CORA WORK", f"person {COWORKER}"), ("ACME INC", f"company {ACME}"), ("NEW YORK", None), ("", None)],
)
async def test_where_several_could_be_it_the_callers_name_decides(
    watch: Watch, data_dir: Path, clock: Clock, caller_name: str, recorded_from: str | None
) -> None:
    shared = "INSERT INTO phone (e164, owner_kind, owner_id, person_id) VALUES (?, 'person', ?, 0)"
    async with open_buzz(data_dir, clock) as buzz:
        await write(data_dir, [(shared, (ACMES_PHONE, COWORKER))])
        call = Call(buzz, ACMES_PHONE, {"CallerName": caller_name})
        assert await call.rings()
        await call.ends()
        [entry] = await calls(buzz)
        assert len(entry["trusted_by"]) == 2
        senders = [sender(each) for each in (await histories(buzz)).get(ME, [])]
        assert senders == ([recorded_from] if recorded_from else [])


APP_REPORT = {"receivable_type": "person", "receivable_id": ME, "sendable_type": "person", "sendable_id": COWORKER}
MISSED_BY_APP = {**APP_REPORT, "type": "incoming_call_missed"}
CONNECTED_BY_APP = {**APP_REPORT, "type": "incoming_call_connected_insecure", "call_time": 40}
MISSED_BY_TWILIO = {"DialCallStatus": "no-answer"}


@pytest.mark.parametrize(
    ("reports", "outcome"),
    [
        ((CONNECTED_BY_APP, COMPLETED), ("connected_insecure", 40)),
        ((COMPLETED, CONNECTED_BY_APP), ("connected_insecure", 42)),
        ((MISSED_BY_APP, COMPLETED), ("connected_insecure", 42)),
        ((MISSED_BY_TWILIO, CONNECTED_BY_APP), ("connected_insecure", 40)),
        ((COMPLETED, MISSED_BY_APP), ("connected_insecure", 42)),
        ((CONNECTED_BY_APP, MISSED_BY_TWILIO), ("connected_insecure", 40)),
        ((MISSED_BY_APP, MISSED_BY_TWILIO, MISSED_BY_APP), ("missed", None)),
        ((CONNECTED_BY_APP,), ("connected_insecure", 40)),
    ],
)
async def test_the_apps_report_and_twilios_make_one_activity(
    buzz: Buzz, reports: tuple[dict[str, Any], ...], outcome: tuple[str, int | None]
) -> None:
    call = Call(buzz, SHARED_WITH_A_STRANGER)
    async with buzz.live(ME) as me:
        assert await call.rings()
        name, ringing = await event(me)
        assert name == "call.ringing"
    for report in (*reports, *reports):
        if "type" not in report:
            await call.ends(**report)
            continue
        body = {**report, "message_id": ringing["message_id"].upper()}
        async with buzz.client.post("/apps/buzz/activity", json=body, headers=buzz.person(ME)) as response:
            answer = await response.json()
            assert response.status == 200, answer
            assert answer["data"]["id"] == 1
            if "connected" in report["type"]:
                assert "connected" in answer["data"]["type"], "never shown as missed to who has said that it was not"
    found = await histories(buzz)
    for person in (ME, COWORKER):
        [activity] = found[person]
        assert (activity["type"], activity["call_time"]) == (f"incoming_call_{outcome[0]}", outcome[1])
    async with asyncio.timeout(WAIT_SECONDS):
        while [(entry["outcome"], entry["call_time"]) for entry in await calls(buzz)] != [outcome]:
            pass


async def test_the_app_can_not_record_the_call_from_somebody_else_a_second_time(buzz: Buzz) -> None:
    call = Call(buzz, SHARED_WITH_A_STRANGER)
    assert await call.rings()
    await call.ends()
    body = {**CONNECTED_BY_APP, "sendable_id": FRIEND, "message_id": message_id(call.sid)}
    async with buzz.client.post("/apps/buzz/activity", json=body, headers=buzz.person(ME)) as response:
        assert response.status == 422
    assert set(await histories(buzz)) == {ME, COWORKER}


async def test_call_lookup_shows_what_was_decided(buzz: Buzz) -> None:
    asked = {"number_code": "1", "number": MY_NUMBER[2:], "inbound_code": "1"}
    for inbound, shown in [
        (ACMES_PHONE, {"contacts": [], "people": [], "companies": [ACME]}),
        (SHARED_WITH_A_STRANGER, {"contacts": [], "people": [COWORKER], "companies": []}),
        (DISTRUSTED, {"contacts": [], "people": [], "companies": []}),
        (MY_NUMBER, {"contacts": [], "people": [], "companies": []}),
    ]:
        parameters = {**asked, "inbound": inbound[2:]}
        status, answer = await buzz.get("/apps/buzz/call-lookup", buzz.service, **parameters)
        assert (status, {kind: [each["id"] for each in found] for kind, found in answer.items()}) == (200, shown)
    failed = {**asked, "inbound": COUSINS_PHONE[2:], "stir_verstat": "TN-Validation-Failed-A"}
    nobody = {"contacts": [], "people": [], "companies": []}
    assert await buzz.get("/apps/buzz/call-lookup", buzz.service, **failed) == (200, nobody)
    assert not (await buzz.trust(**failed))["trusted"]
    del failed["stir_verstat"]
    assert await buzz.get("/apps/buzz/call-lookup", buzz.service, **failed) == (200, nobody), "as it was decided"


async def test_the_look_ups_take_an_app_for_its_person(buzz: Buzz) -> None:
    asked = {"number_code": "1", "number": MY_NUMBER[2:], "inbound_code": "1"}
    assert (await buzz.trust(**asked, inbound=f"client:person_{APP_ONLY}"))["trusted"]
    assert not (await buzz.trust(**asked, inbound=f"client:person_{STRANGER}"))["trusted"]


async def test_clear_takes_the_list_of_calls_away(buzz: Buzz) -> None:
    for caller in (COUSINS_PHONE, DISTRUSTED):
        call = Call(buzz, caller)
        await call.rings()
        await call.ends()
    await buzz.blocked(ME, at_least=1)
    assert len(await calls(buzz)) == 2
    async with buzz.client.delete("/apps/buzz/clear", headers=buzz.person(ME)) as response:
        assert response.status == 204
    assert await calls(buzz) == []


async def ask_for(buzz: Buzz, attestation: str | None) -> tuple[int, Any]:
    return await buzz.put("/apps/buzz/call-settings", buzz.person(ME), {"attestation": attestation})


async def test_a_person_may_require_signed_calls_for_themselves(buzz: Buzz) -> None:
    assert await ask_for(buzz, "require") == (200, {"attestation": "require", "in_force": "require"})
    unsigned = Call(buzz, COUSINS_PHONE)
    assert not await unsigned.rings()
    assert [blocked["reason"] for blocked in await buzz.blocked(ME, at_least=1)] == ["not_verified"]
    assert await Call(buzz, COUSINS_PHONE, {"StirVerstat": "TN-Validation-Passed-B"}).rings()
    assert await ask_for(buzz, None) == (200, {"attestation": None, "in_force": "refuse-failed"})
    assert await Call(buzz, COUSINS_PHONE).rings()
    assert not await unsigned.rings(), "that call was decided before"


async def test_nobody_may_ask_for_less_than_the_operator_does(watch: Watch, data_dir: Path, clock: Clock) -> None:
    async with open_buzz(data_dir, clock, attestation="require") as buzz:
        assert (await ask_for(buzz, "ignore"))[0] == 400
        assert await ask_for(buzz, "refuse-failed") == (200, {"attestation": "refuse-failed", "in_force": "require"})
        answer = {"attestation": "refuse-failed", "in_force": "require"}
        assert await buzz.get("/apps/buzz/call-settings", buzz.person(ME)) == (200, answer)
        assert not await Call(buzz, COUSINS_PHONE).rings()


async def test_old_calls_leave_both_lists(watch: Watch, data_dir: Path, clock: Clock) -> None:
    async with open_buzz(data_dir, clock) as buzz:
        for caller in (COUSINS_PHONE, DISTRUSTED):
            await Call(buzz, caller).rings()
        await buzz.blocked(ME, at_least=1)
    clock.ms += 90 * 86_400_000
    async with open_buzz(data_dir, clock) as buzz:
        assert len(await calls(buzz)) == 2, "not older than 90 days"
    clock.ms += 1
    async with open_buzz(data_dir, clock) as buzz, asyncio.timeout(WAIT_SECONDS):
        while await calls(buzz) or await buzz.blocked(ME):
            pass
    assert await asyncio.to_thread(rows, data_dir, "SELECT COUNT(*) FROM call_seen") == [(0,)]
