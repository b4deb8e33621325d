"""A phone number whose voice URL is Buzz: who rings, who is rejected, and what the log says afterwards."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring

from storage.database import Database
from storage.sqlite.connection import DriverConnection
from storage.sqlite.database import READERS, SqliteDatabase
from tests.fakes.twilio import call
from tests.harness.backend import write
from tests.harness.waiting import until
from tests.integration.telephony.conftest import (
    ACME,
    ACMES_PHONE,
    ANN,
    BOB,
    BOBS_PHONE,
    COUSINS_PHONE,
    JANE,
    JANES_NUMBER,
    STRANGER,
    Buzz,
    Clock,
    event,
    open_buzz,
)

SID = "CA" + "7" * 32
VOICE, ENDED, UNAVAILABLE = "/twilio/voice", "/twilio/voice/ended", "/twilio/voice/unavailable"
BUSY = {"reason": "busy"}
COMPLETED = {"DialCallStatus": "completed", "DialBridged": "true", "DialCallDuration": "42"}
MISSED = {"DialCallStatus": "no-answer"}


async def post(buzz: Buzz, path: str, **more: str) -> Any:
    """A request of Twilio's about Bob's call to Jane, or another; the TwiML's verbs."""
    form = call(SID, **{"From": BOBS_PHONE, "To": JANES_NUMBER, **more})
    async with buzz.client.post(path, data=form, headers=buzz.signed(path, form)) as response:
        assert (response.status, response.content_type) == (200, "text/xml"), await response.text()
        return list(fromstring(await response.read()))


@asynccontextmanager
async def held_up(database: Database) -> AsyncIterator[None]:
    """Storage that answers no read until the block ends: every connection of its readers is at something long."""
    assert isinstance(database, SqliteDatabase)
    ends, held = threading.Event(), list[DriverConnection]()

    def hold(reader: DriverConnection) -> None:
        held.append(reader)
        ends.wait()

    # A reader that something else gives back goes to whoever asks just then, not to the first in line: so the block
    # begins when each of them is held.
    busy = [asyncio.create_task(database.read(hold)) for _ in range(16)]
    await until(lambda: len(held) == READERS)
    try:
        yield
    finally:
        ends.set()
        await asyncio.gather(*busy)


async def activities(buzz: Buzz, person: int = JANE) -> Any:
    status, answer = await buzz.get("/apps/buzz/activity/0", buzz.person(person))
    assert status == 200
    return answer


async def test_a_trusted_call_rings_and_is_recorded(buzz: Buzz) -> None:
    async with buzz.live(JANE) as jane, buzz.live(BOB) as bob:
        (dial,) = await post(buzz, VOICE, CallerName="BOB RAY")
        assert (dial.tag, dial.attrib) == ("Dial", {"answerOnBridge": "true", "timeout": "25", "action": ENDED})
        assert [(one.tag, one.text) for one in dial] == [("Client", f"person_{JANE}")]
        name, data = await event(jane)
        assert (name, data["caller_id"], data["people"][0]["id"]) == ("call.ringing", "BOB RAY", BOB)
        await post(buzz, ENDED, **COMPLETED)
        for socket in (jane, bob):
            while (frame := await socket.receive_json(timeout=5))["type"] != "activities":
                pass
            (activity,) = frame["activities"]
            assert (activity["type"], activity["call_time"]) == ("incoming_call_connected_insecure", 42)
            assert (activity["sendable_id"], activity["receivable_id"]) == (BOB, JANE)
    assert len(await activities(buzz)) == 1


async def test_a_company_calls(buzz: Buzz) -> None:
    (dial,) = await post(buzz, VOICE, From=ACMES_PHONE)
    assert dial.tag == "Dial"
    await post(buzz, ENDED, From=ACMES_PHONE, **MISSED)
    (activity,) = await activities(buzz)
    assert (activity["type"], activity["sendable_type"], activity["sendable_id"]) == (
        "incoming_call_missed",
        "AppModelsCompany",
        ACME,
    )


async def test_an_untrusted_call_is_rejected_and_listed_once(buzz: Buzz) -> None:
    async with buzz.live(JANE) as jane:
        for _ in range(3):
            (reject,) = await post(buzz, VOICE, From=STRANGER, CallerName="SPAM LIKELY")
            assert (reject.tag, reject.attrib) == ("Reject", {"reason": "rejected"})
        name, data = await event(jane)
        assert (name, data["caller_id"]) == ("call.blocked", "SPAM LIKELY")
    (blocked,) = await buzz.blocked(at_least=1)
    assert (blocked["country_code"], blocked["phone_number"]) == ("+1", STRANGER.removeprefix("+1"))
    await post(buzz, ENDED, From=STRANGER, **COMPLETED)
    assert await activities(buzz) == []


@pytest.mark.parametrize(
    ("caller", "called"),
    [
        (BOBS_PHONE, "+12025550199"),
        (BOBS_PHONE, "client:x"),
        (BOBS_PHONE, ""),
        ("anonymous", JANES_NUMBER),
        ("sip:bob@example.com", JANES_NUMBER),
        ("client:person_99", JANES_NUMBER),
        ("", JANES_NUMBER),
    ],
)
async def test_a_number_that_is_nobodys_and_a_caller_without_one_are_rejected(
    buzz: Buzz, caller: str, called: str
) -> None:
    (reject,) = await post(buzz, VOICE, From=caller, To=called)
    assert reject.tag == "Reject"


async def test_a_contact_rings_and_leaves_no_activity(buzz: Buzz) -> None:
    (dial,) = await post(buzz, VOICE, From=COUSINS_PHONE)
    assert dial.tag == "Dial"
    await post(buzz, ENDED, From=COUSINS_PHONE, **COMPLETED)
    assert await activities(buzz) == []


async def test_a_call_from_a_persons_app_is_secure(buzz: Buzz) -> None:
    (dial,) = await post(buzz, VOICE, From=f"client:person_{BOB}")
    assert dial.tag == "Dial"
    await post(buzz, ENDED, From=f"client:person_{BOB}", **COMPLETED)
    (activity,) = await activities(buzz)
    assert (activity["type"], activity["sendable_id"]) == ("incoming_call_connected_secure", BOB)
    (reject,) = await post(buzz, VOICE, From=f"client:person_{ANN}")
    assert reject.tag == "Reject", "known, and not trusted"


@pytest.mark.parametrize("order", list(itertools.permutations([COMPLETED, MISSED, {"DialCallStatus": "busy"}])))
async def test_repeated_and_disordered_callbacks_end_the_same(buzz: Buzz, order: tuple[dict[str, str], ...]) -> None:
    for outcome in (*order, *order):
        await post(buzz, ENDED, **outcome)
        await post(buzz, VOICE)
    (activity,) = await activities(buzz)
    assert (activity["type"], activity["call_time"]) == ("incoming_call_connected_insecure", 42)
    assert activity["id"] == 1


async def test_a_missed_call_that_was_none_is_put_right_live(buzz: Buzz) -> None:
    async with buzz.live(JANE) as jane:
        await post(buzz, ENDED, **MISSED)
        await post(buzz, ENDED, **COMPLETED)
        name, data = await event(jane)
        assert (name, data["id"], data["type"]) == ("activity.changed", 1, "incoming_call_connected_insecure")
    async with buzz.client.ws_connect("/apps/buzz/socket", headers=buzz.person(JANE)) as socket:
        await socket.send_json({"type": "hello", "last_activity_id": 0})
        while (frame := await socket.receive_json(timeout=5))["type"] != "activities":
            pass
        assert frame["activities"][0]["type"] == "incoming_call_connected_insecure"


async def test_while_trust_can_not_be_looked_up_nobody_rings_and_the_line_is_busy(buzz: Buzz) -> None:
    # The write lock first: SQLite does not wait for it in the midst of a statement that has read already.
    # Beside the loop: the node is in it, and may be in a transaction of its own.
    rename = [(sql, ()) for sql in ("BEGIN IMMEDIATE", "ALTER TABLE phone RENAME TO elsewhere", "COMMIT")]
    await write(buzz.data_dir, rename)
    for caller in (BOBS_PHONE, f"client:person_{BOB}", STRANGER):
        (verb,) = await post(buzz, VOICE, From=caller)
        assert (verb.tag, verb.attrib) == ("Reject", BUSY), "not an error that Twilio would read out"


async def test_a_look_up_that_is_late_is_a_busy_line_and_so_is_its_repeat(data_dir: Path, clock: Clock) -> None:
    other = {"From": COUSINS_PHONE, "CallSid": "CA" + "8" * 32}
    async with open_buzz(data_dir, clock, lookup_deadline_ms=50) as buzz:
        async with held_up(buzz.node.database):
            for more in ({}, {}, other):
                (verb,) = await post(buzz, VOICE, **more)
                assert (verb.tag, verb.attrib) == ("Reject", BUSY)
        assert {call["reason"] for call in await buzz.blocked(at_least=2)} == {"late"}
        (verb,) = await post(buzz, VOICE)
        assert (verb.tag, verb.attrib) == ("Reject", BUSY), "it was decided too late, and that is what it stays"
    async with open_buzz(data_dir, clock) as buzz:
        (verb,) = await post(buzz, VOICE, CallSid="CA" + "9" * 32)
        assert verb.tag == "Dial", "the next call rings"


async def test_a_voice_url_that_failed_is_a_busy_line_whatever_is_down(buzz: Buzz) -> None:
    async with buzz.client.post(UNAVAILABLE, data={"ErrorCode": "11200"}) as response:
        assert (response.status, response.content_type) == (200, "text/xml")
        (verb,) = fromstring(await response.read())
    assert (verb.tag, verb.attrib) == ("Reject", BUSY)


async def test_only_twilio_may_ask(buzz: Buzz) -> None:
    form = call(SID, From=BOBS_PHONE, To=JANES_NUMBER, **COMPLETED)
    for path in (VOICE, ENDED):
        signed = buzz.signed(path, form)
        for headers, status in (({}, 401), (buzz.person(JANE), 403), (buzz.service, 403)):
            async with buzz.client.post(path, data=form, headers=headers) as response:
                assert response.status == status
        async with buzz.client.post(path, data={**form, "From": STRANGER}, headers=signed) as response:
            assert response.status == 401
        nameless = {"From": BOBS_PHONE}
        async with buzz.client.post(path, data=nameless, headers=buzz.signed(path, nameless)) as response:
            assert response.status == 400
    assert await activities(buzz) == []
