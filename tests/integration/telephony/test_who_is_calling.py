"""Calls from every kind of caller, end to end: who rings, what the app is shown, and whose history the call is in.

Every request is signed by Twilio's own package, as Twilio signs it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring
from twilio.request_validator import RequestValidator

from protocol.directory import Company, Contact, Kind, Member, Person, TrustedCompany
from tests.fakes.twilio import call
from tests.harness.people import copy_directory
from tests.harness.watch import Watch
from tests.integration.telephony.conftest import PUBLIC_URL, TWILIO_TOKEN, Buzz, Clock, fill, open_buzz

ME, STRANGER, COWORKER, OTHER_STRANGER, APP_ONLY, FRIEND = 1, 3, 4, 5, 6, 7
ACME = 123
MY_NUMBER, COWORKERS_BUZZ_NUMBER = "+12385551629", "+12385551630"
SHARED_WITH_A_STRANGER, ACMES_PHONE, COUSINS_PHONE = "+12025550177", "+18005550100", "+12025550123"
FRIENDS_PHONE, DISTRUSTED = "+12025550140", "+12025550150"
EVERYBODY = (ME, STRANGER, COWORKER, OTHER_STRANGER, APP_ONLY, FRIEND)
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
        Contact(9, ME, "Cousin", None, "Vi", None, True, (COUSINS_PHONE,)),
        Contact(10, ME, "Me", None, None, None, True, (MY_NUMBER, "+12025550111")),
        Contact(11, ME, "Fred", None, None, None, True, (FRIENDS_PHONE,)),
        Contact(12, ME, "No", None, None, None, False, (DISTRUSTED,)),
    ),
    Kind.TRUSTED_COMPANY: (TrustedCompany(ME, ACME),),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("callers")
    numbers = {MY_NUMBER: ME, COWORKERS_BUZZ_NUMBER: COWORKER}
    asyncio.run(fill(data_dir / "buzz.db", OBJECTS, numbers))
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


def sender(activity: Any) -> str:
    return f"{activity['sendable_type'].removeprefix('AppModels').lower()} {activity['sendable_id']}"


@pytest.mark.parametrize(
    ("caller", "recorded_from", "seen_by"),
    [
        (f"client:person_{APP_ONLY}", f"person {APP_ONLY}", {ME, APP_ONLY}),
        (f"client:person_{COWORKER}", f"person {COWORKER}", {ME, COWORKER}),
        (f"client:person_{FRIEND}", f"person {FRIEND}", {ME, FRIEND}),
        (SHARED_WITH_A_STRANGER, f"person {COWORKER}", {ME, COWORKER}),
        (COWORKERS_BUZZ_NUMBER, f"person {COWORKER}", {ME, COWORKER}),
        (FRIENDS_PHONE, f"person {FRIEND}", {ME, FRIEND}),
        (ACMES_PHONE, f"company {ACME}", {ME}),
        (COUSINS_PHONE, None, set()),
    ],
)
async def test_a_trusted_call_is_in_the_history_of_its_two_sides_and_of_nobody_else(
    buzz: Buzz, caller: str, recorded_from: str | None, seen_by: set[int]
) -> None:
    call = Call(buzz, caller)
    assert await call.rings()
    await call.ends()
    found = await histories(buzz)
    assert set(found) == seen_by
    for activities in found.values():
        [activity] = activities
        assert sender(activity) == recorded_from
        secure = "secure" if caller.startswith("client:") else "insecure"
        assert (activity["type"], activity["call_time"]) == (f"incoming_call_connected_{secure}", 42)


@pytest.mark.parametrize(
    "caller",
    [
        f"client:person_{STRANGER}",
        f"client:person_{ME}",
        "client:person_99",
        "client:somebody",
        MY_NUMBER,
        "+12025550111",
        DISTRUSTED,
        "+19876543210",
        "anonymous",
        "+266696687",
        "sip:cora@example.com",
        f"sip:{COUSINS_PHONE}@example.com;transport=tls",
    ],
)
async def test_a_caller_who_is_not_trusted_is_rejected_listed_and_in_no_history(buzz: Buzz, caller: str) -> None:
    call = Call(buzz, caller)
    assert not await call.rings()
    await call.ends()
    assert len(await buzz.blocked(ME, at_least=1)) == 1
    assert await histories(buzz) == {}
