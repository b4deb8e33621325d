"""Trust and call look-ups: the parameters Twilio's glue code sends, and the two answers.

Missing or empty is a mistake of the caller's program and refused. Present but malformed is not: telling "malformed"
from "unknown" would help somebody who probes, so it becomes "no number" and takes the same path as any unknown one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

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


@dataclass(frozen=True, slots=True)
class Lookup:
    """The parameters of both look-ups, as text. A value that is no text or whole number counts as malformed."""

    number_code: str
    number: str
    inbound_code: str
    inbound: str
    caller_id: str | None = None
    stir_verstat: str | None = None

    @property
    def called(self) -> str | None:
        """The number that rings, as E.164; None if it is no possible number."""
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
    """Read the parameters of a query, a form or a JSON object; names that are not ours are left alone.

    Raises ApiError (bad_request) that names the first required parameter that is missing or empty.
    """
    number_code, number, inbound_code, inbound = values = [_text(parameters.get(name)) for name in _REQUIRED]
    if not all(values):
        missing = _REQUIRED[[bool(value) for value in values].index(False)]
        raise ApiError(ErrorCode.BAD_REQUEST, f"Missing required parameter: '{missing}'")
    caller_id, stir_verstat = (_text(parameters.get(name)) or None for name in ("caller_id", "stir_verstat"))
    return Lookup(number_code, number, inbound_code, inbound, caller_id, stir_verstat)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40 else _MALFORMED


def call_tokens(idempotency_token: object, call_sid: object) -> tuple[str, ...]:
    """What a repeat of this call's request is known by: Twilio's idempotency token and its CallSid, where given."""
    named = (("token:", idempotency_token), (CALL_TOKEN, call_sid))
    return tuple(
        f"{kind}{value}"
        for kind, value in named
        if isinstance(value, str) and 0 < len(value) <= MAX_CALL_TOKEN_CHARACTERS
    )


class ShownCaller(NamedTuple):
    """Who was calling, as ``GET blocked`` shows it: ``country_code`` with its ``+`` (empty if it was malformed)."""

    caller_id: str
    country_code: str
    phone_number: str


def shown_caller(lookup: Lookup) -> ShownCaller:
    """What to keep of a caller who was not trusted: the number as it was given, in printable characters.

    A number that was given whole (``+1987…``) is taken apart, so that the country code is not shown twice.
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
    """Without control characters, lone surrogates and NUL, which neither JSON nor a database takes well."""
    cut = text[:limit]
    return cut if cut.isprintable() else "".join(character for character in cut if character.isprintable())


@dataclass(frozen=True, slots=True)
class TrustAnswer:
    """The answer to trust-lookup: whether the phone may ring, and whose number was called (null: nobody's)."""

    trusted: bool
    user_id: int | None


@dataclass(frozen=True, slots=True)
class TrustedContact:
    """A contact that the called person trusts."""

    id: int
    first_name: str | None
    middle_name: str | None
    last_name: str | None
    avatar: str | None
    number: str


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
    avatar: str | None


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """The answer to call-lookup; three empty lists for every caller who is not trusted."""

    contacts: tuple[TrustedContact, ...] = ()
    people: tuple[TrustedPerson, ...] = ()
    companies: tuple[TrustedCompany, ...] = ()


UNTRUSTED: Final = TrustAnswer(trusted=False, user_id=None)
NOBODY: Final = CallAnswer()
