"""What the web form takes, and what it says of a field that does not fit."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from protocol.web_form import WEB_FORM, faults

GOOD = {
    "first_name": "Julian",
    "last_name": "Salama",
    "email": "admin@privacytollfree.com",
    "state": "DE",
    "requester_type": "Job Applicant",
    "do_not_sell": "true",
    "other": "",
}


def test_a_form_is_read_as_a_browser_or_a_program_sends_it() -> None:
    form = WEB_FORM.validate_python({**GOOD, "tell_me": "on", "delete_me": True, "send_me": "0", "state": " de "})
    assert (form.tell_me, form.delete_me, form.do_not_sell, form.send_me) == (True, True, True, False)
    assert (form.state, form.requester_type) == ("DE", "Job Applicant")
    assert WEB_FORM.validate_python({**GOOD, "other": " two\r\nlines "}).other == "two\nlines"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"first_name": " "}, "first_name"),
        ({"last_name": None}, "last_name"),
        ({"last_name": "x" * 101}, "last_name"),
        ({"first_name": "a\nb"}, "first_name"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@b@c.de"}, "email"),
        ({"email": "a@b. "}, "email"),
        ({"email": "x" * 250 + "@b.de"}, "email"),
        ({"state": "Delaware"}, "state"),
        ({"do_not_sell": "perhaps"}, "do_not_sell"),
        ({"tell_me": 1}, "tell_me"),
        ({"other": "x" * 5_001}, "other"),
        ({"other": "\x07"}, "other"),
        ({"first_name": 5}, "first_name"),
        ({"frist_name": "x"}, "frist_name"),
        ({"do_not_sell": "false"}, ""),
    ],
)
def test_a_field_that_does_not_fit_is_named(change: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        WEB_FORM.validate_python({**GOOD, **change})
    assert list(faults(refused.value)) == [field]


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        WEB_FORM.validate_python({"email": "x"})
    assert faults(refused.value) == {
        "first_name": "is required",
        "last_name": "is required",
        "email": "should be an email address such as name@example.com",
    }
