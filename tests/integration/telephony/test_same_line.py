"""The same line, written differently: from an address book or the glue code to the answer, signed as Twilio signs."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, urlencode

import pytest
from twilio.request_validator import RequestValidator
from yarl import URL

from tests.integration.telephony.conftest import (
    JANE,
    JANES_NUMBER,
    LOOKUP,
    PUBLIC_URL,
    TWILIO_TOKEN,
    Buzz,
    bearer,
)

SIGNER = RequestValidator(TWILIO_TOKEN)


class Case(NamedTuple):
    """A contact's number as the address book has it, and a caller's as Twilio writes it."""

    kept: str
    shown: str
    trusted: bool = True


CASES = [
    Case("+525512345678", "+5215512345678"),
    Case("+5215587654321", "+525587654321"),  # the old form in the address book is taken
    Case("+5491123456789", "+541123456789"),
    Case("+54351151234567", "+5493511234567"),
    Case("+5511987654321", "+551187654321"),
    Case("+551132345678", "+5511932345678", trusted=False),  # a fixed line and a mobile
    Case("+22507123456", "+2250707123456"),
    Case("+2252720212223", "+22520212223"),
    Case("+2290197123456", "+22997123456"),
    Case("+841687654321", "+84387654321"),
    Case("+24166111111", "+24106111111"),
    Case("+390612345678", "+39612345678", trusted=False),  # Italy's zero belongs to the number
]


async def keep(buzz: Buzz, contact: int, *numbers: str) -> None:
    """Have a trusted contact of Jane's with these numbers."""
    body = {"person_id": JANE, "first_name": "Lou", "trusted": True, "numbers": list(numbers)}
    status, answer = await buzz.put(f"/admin/directory/contact/{contact}", bearer(buzz.tokens.service("admin")), body)
    assert (status, answer["object"]["numbers"]) == (200, sorted(numbers))


async def rings(buzz: Buzz, caller: str, called: str = JANES_NUMBER, sid: str = "CA1") -> bool:
    """Whether a call, as Twilio tells of it at the voice URL, is put through to Jane's app."""
    form = {"CallSid": sid, "From": caller, "To": called, "CallStatus": "ringing"}
    signature = SIGNER.compute_signature(f"{PUBLIC_URL}/twilio/voice", form)
    async with buzz.client.post("/twilio/voice", data=form, headers={"X-Twilio-Signature": signature}) as response:
        text = await response.text()
        assert response.status == 200, text
    assert ("<Reject" in text) is (f"person_{JANE}<" not in text)
    return "<Reject" not in text


async def looked_up(buzz: Buzz, query: str) -> object:
    """The answer to a look-up with this query, to the letter."""
    path = f"/apps/buzz/trust-lookup?{query}"
    signature = SIGNER.compute_signature(PUBLIC_URL + path, {})
    async with buzz.client.get(URL(path, encoded=True), headers={"X-Twilio-Signature": signature}) as response:
        assert response.status == 200
        return await response.json()


async def test_a_caller_rings_however_the_number_is_written(buzz: Buzz) -> None:
    for number, case in enumerate(CASES, 100):
        await keep(buzz, number, case.kept)
        assert await rings(buzz, case.shown, sid=f"CA{number}") is case.trusted, case
        # As it stands in the address book it rings all the same.
        assert await rings(buzz, case.kept, sid=f"CB{number}"), case


async def test_a_caller_is_shown_as_given_and_the_contact_once(buzz: Buzz) -> None:
    await keep(buzz, 100, "+525512345678", "+5215512345678")
    asked = {**LOOKUP, "inbound_code": "52", "inbound": "1 55 1234 5678"}
    status, answer = await buzz.get("/apps/buzz/call-lookup", buzz.service, **asked)
    assert (status, [each["id"] for each in answer["contacts"]]) == (200, [100])


CODES = ["1", "%2B1", "+1", "001", "01", "%201", "011%201", "0111", "00+1"]


@pytest.mark.parametrize("code", CODES)
async def test_a_code_is_understood_as_people_write_it(buzz: Buzz, code: str) -> None:
    query = f"number_code={code}&number=2385551629&inbound_code=1&inbound=9876543210"
    assert await looked_up(buzz, query) == {"trusted": False, "user_id": JANE}


@pytest.mark.parametrize(
    ("number_code", "number", "user_id"),
    [
        ("1", "12385551629", JANE),
        ("1", "+12385551629", JANE),
        ("001", "+12385551629", JANE),
        ("44", "2385551629", None),
        ("44", "+12385551629", None),
        ("11", "2385551629", None),
        ("-1", "2385551629", None),
        ("1", "238555162", None),
    ],
)
async def test_a_number_may_bring_its_own_code(buzz: Buzz, number_code: str, number: str, user_id: int | None) -> None:
    query = urlencode({**LOOKUP, "number_code": number_code, "number": number}, quote_via=quote)
    assert await looked_up(buzz, query) == {"trusted": False, "user_id": user_id}


async def test_what_can_not_be_read_is_counted_apart(buzz: Buzz) -> None:
    await buzz.trust(inbound="311")
    await buzz.trust(number_code="x")
    await buzz.trust(inbound="anonymous")
    async with buzz.client.get("/metrics", headers=bearer(buzz.tokens.service("admin"))) as response:
        text = await response.text()
    assert 'buzz_trust_lookups_total{answer="malformed"} 2.0' in text
    assert 'buzz_trust_lookups_total{answer="untrusted"} 1.0' in text
