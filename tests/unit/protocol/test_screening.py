"""What Twilio's words about a call mean."""

from __future__ import annotations

import pytest

from protocol.errors import ApiError
from protocol.screening import IncomingCall, Outcome, lookup_of, read_call, read_outcome

PHONE = IncomingCall("CA1", "+12025550101", "+12385551629", "Bob")


@pytest.mark.parametrize(
    ("form", "kind", "seconds"),
    [
        ({"DialCallStatus": "completed", "DialBridged": "true", "DialCallDuration": "42"}, "connected_insecure", 42),
        ({"DialCallStatus": "completed", "DialBridged": "true"}, "connected_insecure", 0),
        (
            {"DialCallStatus": "completed", "DialBridged": "true", "DialCallDuration": "9" * 9},
            "connected_insecure",
            86_400,
        ),
        ({"DialCallStatus": "completed", "DialBridged": "true", "DialCallDuration": "-1"}, "connected_insecure", 0),
        ({"DialCallStatus": "completed", "DialBridged": "false", "DialCallDuration": "3"}, "missed", None),
        ({"DialCallStatus": "no-answer"}, "missed", None),
        ({"DialCallStatus": "busy"}, "missed", None),
        ({"DialCallStatus": "failed"}, "missed", None),
        ({"DialCallStatus": "canceled"}, "missed", None),
    ],
)
def test_what_becomes_of_a_call(form: dict[str, str], kind: str, seconds: int | None) -> None:
    assert read_outcome(PHONE, form) == Outcome(f"incoming_call_{kind}", seconds)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", [{}, {"DialCallStatus": "ringing"}, {"DialCallStatus": "queued"}])
def test_a_call_that_has_not_ended(form: dict[str, str]) -> None:
    assert read_outcome(PHONE, form) is None


@pytest.mark.parametrize(
    ("caller", "secure"),
    [
        ("client:person_7", True),
        ("sips:bob@example.com", True),
        ("sip:bob@example.com;transport=TLS", True),
        ("sip:bob@example.com", False),
        ("+12025550101", False),
        ("anonymous", False),
        ("", False),
    ],
)
def test_which_callers_are_secure(caller: str, secure: bool) -> None:
    assert PHONE._replace(caller=caller).is_secure is secure


def test_the_look_up_that_a_call_asks_for() -> None:
    lookup = lookup_of(PHONE)
    assert (lookup.called, lookup.caller, lookup.caller_id) == ("+12385551629", "+12025550101", "Bob")
    for caller in ("anonymous", "client:person_7", "sip:x@y", "+266696687", ""):
        assert lookup_of(PHONE._replace(caller=caller, caller_name="")).caller is None
    assert lookup_of(PHONE._replace(called="client:x")).called is None


@pytest.mark.parametrize(
    ("caller", "person"), [("client:person_7", 7), ("client:person_0", None), ("client:bob", None)]
)
def test_a_call_from_an_app_names_its_person(caller: str, person: int | None) -> None:
    assert lookup_of(PHONE._replace(caller=caller)).caller_person == person


def test_a_request_names_its_call() -> None:
    assert read_call({"CallSid": "CA1", "From": "+1", "To": "+2", "CallerName": "B"}) == IncomingCall(
        "CA1", "+1", "+2", "B"
    )
    for form in ({}, {"CallSid": ""}, {"CallSid": "CA 1"}, {"CallSid": "C" * 65}):
        with pytest.raises(ApiError, match="CallSid"):
            read_call(form)
