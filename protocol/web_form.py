"""The privacy web form: checks what a consumer wrote, with one sentence for each wrong field.

The same model checks the hosted page's form, a multipart form and JSON.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, TypeAdapter, ValidationError, model_validator

from protocol.us_states import US_STATES
from protocol.validation import Strict

MAX_NAME_CHARACTERS: Final = 100
MAX_EMAIL_CHARACTERS: Final = 254
"""RFC 5321, 4.5.3.1.3, as its erratum 1690 reads it."""
MAX_OTHER_CHARACTERS: Final = 5_000

REQUESTER_TYPES: Final = (
    "Consumer",
    "Employee",
    "Job Applicant",
    "Contractor",
    "Business Contact",
    "Authorized Agent",
    "Other",
)
"""What the hosted page offers; any other short text is taken as well."""

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_LINES: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TRUE: Final = frozenset({"true", "on", "1", "yes"})
_FALSE: Final = frozenset({"false", "off", "0", "no", ""})


def _line(value: str) -> str:
    value = value.strip()
    if len(value) > MAX_NAME_CHARACTERS or _CONTROL.search(value):
        raise ValueError(f"should be one line of at most {MAX_NAME_CHARACTERS} characters")
    return value


def _required_line(value: str) -> str:
    if not value.strip():
        raise ValueError("is required")
    return _line(value)


def _email(value: str) -> str:
    value = value.strip()
    if len(value) > MAX_EMAIL_CHARACTERS or _CONTROL.search(value) or _EMAIL.fullmatch(value) is None:
        raise ValueError("should be an email address such as name@example.com")
    return value


def _state(value: str) -> str:
    value = value.strip().upper()
    if value and value not in US_STATES:
        raise ValueError("should be the two letters of a state of the United States, such as DE, or left out")
    return value


def _text(value: str) -> str:
    value = value.replace("\r\n", "\n").strip()
    if len(value) > MAX_OTHER_CHARACTERS or _CONTROL_BUT_LINES.search(value):
        raise ValueError(f"should be text of at most {MAX_OTHER_CHARACTERS} characters")
    return value


def _flag(value: object) -> object:
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    if not isinstance(value, bool):
        raise ValueError("should be true or false")
    return value


TRAP: Final = "leave_empty"
"""A field of the page that people do not see. No program that helps people to fill in forms knows the name."""

TRAPS: Final = (TRAP, "website")
"""With the name that it had before: pages that were opened then are still sent."""

Flag = Annotated[bool, BeforeValidator(_flag, json_schema_input_type=bool)]


class WebForm(Strict):
    """What a consumer sent. With the same ``submission`` a form that is sent twice makes one request.

    The fields in ``TRAPS`` are not part of the interface, so its description leaves them out.
    """

    model_config = ConfigDict(json_schema_extra=lambda schema: _without_traps(schema))

    first_name: Annotated[str, AfterValidator(_required_line)]
    """The consumer's first name."""
    last_name: Annotated[str, AfterValidator(_required_line)]
    """The consumer's last name."""
    email: Annotated[str, AfterValidator(_email)]
    """The consumer's email address."""
    state: Annotated[str, AfterValidator(_state)] = ""
    """The two letters of a state of the United States; empty for none."""
    requester_type: Annotated[str, AfterValidator(_line)] = REQUESTER_TYPES[0]
    """What the consumer is to the company, such as `Consumer` or `Employee`."""
    tell_me: Flag = False
    """They ask which data the company has about them."""
    delete_me: Flag = False
    """They ask for its deletion."""
    do_not_sell: Flag = False
    """They ask for an end of its sale."""
    send_me: Flag = False
    """They ask for a copy of it."""
    other: Annotated[str, AfterValidator(_text)] = ""
    """What else they ask for. At least one of these five is needed."""
    submission: Annotated[str, AfterValidator(_line)] = ""
    """The same text in a form that is sent again, so that it makes one request."""
    leave_empty: str = ""
    website: str = ""

    @property
    def suspected_spam(self) -> bool:
        """Whether a hidden field was filled in. The request is still stored: it may be a real one."""
        return any(getattr(self, name) for name in TRAPS)

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not (self.tell_me or self.delete_me or self.do_not_sell or self.send_me or self.other):
            raise ValueError(
                "Missing required parameter: one of 'tell_me', 'delete_me', 'do_not_sell', 'send_me', 'other'"
            )
        return self


def _without_traps(schema: dict[str, Any]) -> None:
    for name in TRAPS:
        schema["properties"].pop(name, None)


WEB_FORM: TypeAdapter[WebForm] = TypeAdapter(WebForm)


def faults(error: ValidationError) -> dict[str, str]:
    """Return what is wrong with each field, for the page; the field ``""`` stands for the whole form."""
    found: dict[str, str] = {}
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        field = str(fault["loc"][0]) if fault["loc"] else ""
        found.setdefault(field, "is required" if fault["type"] == "missing" else _reason(fault["msg"]))
    return found


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input ")
