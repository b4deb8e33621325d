"""What Twilio reports of a call at the voice URL, and the activity that records it. No I/O.

https://www.twilio.com/docs/voice/twiml and https://www.twilio.com/docs/voice/twiml/dial#action
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from protocol import phone
from protocol.activity import MAX_CALL_SECONDS, ActivityTypeName
from protocol.call import CallOutcome, outcome_of
from protocol.errors import ApiError, ErrorCode
from protocol.lookup import Lookup

_CALL_SID: Final = re.compile(r"[0-9A-Za-z]{1,64}")
_CONNECTED: Final = frozenset({"completed", "answered"})
_MISSED: Final = frozenset({"no-answer", "busy", "failed", "canceled"})


class IncomingCall(NamedTuple):
    """One call as Twilio reports it.

    ``caller`` and ``called`` as Twilio wrote them, the caller's name in the network, and the result of the signature
    check (``StirVerstat``).
    """

    call_sid: str
    caller: str
    called: str
    caller_name: str
    verstat: str = ""

    @property
    def is_secure(self) -> bool:
        """Whether the caller's side is encrypted: an app, or SIP over TLS. A phone line is not."""
        kind, _, rest = self.caller.lower().partition(":")
        return kind in ("client", "sips") or (kind == "sip" and "transport=tls" in rest)


class Outcome(NamedTuple):
    """The outcome of a call; ``call_time`` in seconds, for connected ones."""

    type: ActivityTypeName
    call_time: int | None

    @property
    def name(self) -> CallOutcome:
        """The outcome's name in the list of calls."""
        return outcome_of(self.type)


def read_call(form: Mapping[str, str]) -> IncomingCall:
    """Read the call that a request is about. Raises ApiError(bad_request) if it names none."""
    call_sid = form.get("CallSid", "")
    if _CALL_SID.fullmatch(call_sid) is None:
        raise ApiError(ErrorCode.BAD_REQUEST, "Missing required parameter: 'CallSid'")
    caller, called, name, verstat = (form.get(each, "") for each in ("From", "To", "CallerName", "StirVerstat"))
    return IncomingCall(call_sid, caller, called, name, verstat)


def read_outcome(call: IncomingCall, form: Mapping[str, str]) -> Outcome | None:
    """Read the outcome of a call that has ended; None while it has not.

    A call that was answered but not bridged (the caller had hung up) is missed.
    """
    status = form.get("DialCallStatus", "")
    if status in _CONNECTED and form.get("DialBridged", "true") == "true":
        seconds = _seconds(form.get("DialCallDuration", ""))
        if call.is_secure:
            return Outcome("incoming_call_connected_secure", seconds)
        return Outcome("incoming_call_connected_insecure", seconds)
    if status in _CONNECTED | _MISSED:
        return Outcome("incoming_call_missed", None)
    return None


def lookup_of(call: IncomingCall) -> Lookup:
    """Return the look-up for this call."""
    return Lookup(*_parts(call.called), *_parts(call.caller), call.caller_name or None, call.verstat or None)


def _parts(text: str) -> tuple[str, str]:
    number = phone.parse_e164(text)
    return phone.split(number) if number else ("", text)


def _seconds(text: str) -> int:
    return min(int(text), MAX_CALL_SECONDS) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
