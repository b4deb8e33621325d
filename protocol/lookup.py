"""Trust and call look-ups: the parameters that the code at Twilio sends, and the two answers.

A missing or empty parameter is a mistake of the client's program and is refused. A malformed one is not: an answer that
distinguishes "malformed" from "unknown" would help an attacker, so it becomes "no number" and is handled like any
unknown one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from protocol import phone
from protocol.errors import ApiError, ErrorCode

MAX_CALLER_ID_CHARACTERS: Final = 100
"""What is kept of a caller id; networks send at most 15 characters, SIP a little more."""

MAX_CALL_TOKEN_CHARACTERS: Final = 128
"""What is taken of a CallSid (34) or an idempotency token (36)."""

CALL_TOKEN: Final = "call:"
"""What the token that is a CallSid begins with. It is the last of a call's tokens."""

UNKNOWN_CALLER: Final = "Unknown Caller"
"""The ``caller_id`` of a blocked call that came without one, as the seed prints it."""

_REQUIRED: Final = ("number_code", "number", "inbound_code", "inbound")
_MALFORMED: Final = "?"
_APP: Final = re.compile(r"client:person_([1-9][0-9]{0,17})")


class Lookup(msgspec.Struct, frozen=True, gc=False):
    """The parameters of both look-ups, as text. A value that is neither text nor an integer counts as malformed."""

    number_code: str
    """The country code of the called number."""
    number: str
    """The called number."""
    inbound_code: str
    """The country code of the caller's number."""
    inbound: str
    """The caller's number."""
    caller_id: str | None = None
    """The name that the caller's network shows."""
    stir_verstat: str | None = None
    """Twilio's `StirVerstat`: the result of checking the call's signature."""

    @property
    def called(self) -> str | None:
        """The called number, as E.164; None if it is no possible number."""
        return phone.normalise(self.number_code, self.number)

    @property
    def caller(self) -> str | None:
        """The caller's number, as E.164; None if there is none (``anonymous``) or it is no possible number."""
        return phone.normalise(self.inbound_code, self.inbound)

    @property
    def caller_person(self) -> int | None:
        """The person whose app is calling (``client:person_7``), or None for every other caller."""
        match = _APP.fullmatch(self.inbound)
        return int(match[1]) if match else None


def parse_lookup(parameters: Mapping[str, object]) -> Lookup:
    """Read the parameters of a query, a form or a JSON object; unknown names are ignored.

    Raises ApiError (bad_request) that names the first required parameter that is missing or empty.
    """
    given = parameters.get
    number_code, number, inbound_code, inbound = map(_text, map(given, _REQUIRED))
    if not (number_code and number and inbound_code and inbound):
        missing = next(name for name in _REQUIRED if not _text(given(name)))
        raise ApiError(ErrorCode.BAD_REQUEST, f"Missing required parameter: '{missing}'")
    caller_id, stir_verstat = _text(given("caller_id")) or None, _text(given("stir_verstat")) or None
    return Lookup(number_code, number, inbound_code, inbound, caller_id, stir_verstat)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40 else _MALFORMED


def call_tokens(idempotency_token: object, call_sid: object) -> tuple[str, ...]:
    """Return what identifies a repeat of this call's request: Twilio's idempotency token and CallSid, if given."""
    if idempotency_token is None and call_sid is None:
        return ()
    named = (("token:", idempotency_token), (CALL_TOKEN, call_sid))
    return tuple(
        f"{kind}{value}"
        for kind, value in named
        if isinstance(value, str) and 0 < len(value) <= MAX_CALL_TOKEN_CHARACTERS
    )


class ShownCaller(NamedTuple):
    """The caller, as ``GET blocked`` shows it: ``country_code`` with its ``+`` (empty if it was malformed)."""

    caller_id: str
    country_code: str
    phone_number: str


def shown_caller(lookup: Lookup) -> ShownCaller:
    """Return what to store of a caller who was not trusted: the number as given, in printable characters.

    A complete number (``+1987…``) is split, so that the country code is not shown twice.
    """
    code = phone.country_code(lookup.inbound_code)
    number = _printable(lookup.inbound, phone.MAX_NUMBER_CHARACTERS)
    if number.startswith("+") and lookup.caller is not None:
        number = phone.split(lookup.caller).number
    return ShownCaller(
        _printable(lookup.caller_id or "", MAX_CALLER_ID_CHARACTERS) or UNKNOWN_CALLER,
        f"+{code}" if code else "",
        number,
    )


def _printable(text: str, limit: int) -> str:
    """Remove control characters, lone surrogates and NUL, which JSON or a database may refuse."""
    cut = text[:limit]
    return cut if cut.isprintable() else "".join(character for character in cut if character.isprintable())


class TrustAnswer(msgspec.Struct, frozen=True, gc=False):
    """The answer to trust-lookup: whether the phone may ring, and who was called (null: an unassigned number)."""

    trusted: bool
    """Whether the phone may ring."""
    user_id: int | None
    """The person who was called; null if the number is not assigned."""


@dataclass(frozen=True, slots=True)
class TrustedContact:
    """A contact that the called person trusts."""

    id: int
    first_name: str | None
    middle_name: str | None
    last_name: str | None
    avatar: str | None
    number: str
    """The number that the caller has, in E.164."""


@dataclass(frozen=True, slots=True)
class TrustedPerson:
    """A member who calls from this number."""

    id: int
    first_name: str | None
    last_name: str | None
    avatar: str | None


@dataclass(frozen=True, slots=True)
class TrustedCompany:
    """A company that the called person trusts."""

    id: int
    name: str | None
    """The company's name."""
    avatar: str | None


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """The answer to call-lookup; three empty lists for every caller who is not trusted."""

    contacts: tuple[TrustedContact, ...] = ()
    """The called person's trusted contacts with this number."""
    people: tuple[TrustedPerson, ...] = ()
    """Members of companies who call from it."""
    companies: tuple[TrustedCompany, ...] = ()
    """Trusted companies that call from it."""


UNTRUSTED: Final = TrustAnswer(trusted=False, user_id=None)
NOBODY: Final = CallAnswer()
