"""The rules for calls: is the caller trusted, by what, and who recorded as the caller. No I/O."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from protocol.attestation import Attestation, Verified
from protocol.call import BlockReason, Call, Certainty, message_id
from protocol.lookup import NOBODY, CallAnswer
from storage.telephony.callers import Callers, Reason
from storage.telephony.calls import CallRow

_CNAM_CHARACTERS: Final = 15
"""Networks cut a caller's name off after so many characters."""

_json = msgspec.json.Encoder()


class Decision(NamedTuple):
    """The decision on a call when it came in, and what is stored of it. ``known``: who is shown as the caller."""

    row: CallRow
    known: CallAnswer
    tokens: tuple[str, ...]

    @property
    def trusted(self) -> bool:
        return bool(self.row.trusted)

    @property
    def message_id(self) -> str:
        return message_id(self.row.call_id)


def decide(call: Call, found: Callers, attestation: Attestation, now_ms: int, *, late: bool = False) -> Decision:
    """Decide a call to the person that storage found. ``late``: it was answered before, so the phone does not ring."""
    reason: BlockReason | None = "late" if late else _block_reason(call, found, attestation)
    trusted = reason is None
    reasons = found.reasons if trusted else ()
    # By position: naming sixteen fields takes several times as long, and a phone is about to ring.
    row = CallRow(
        found.person_id or 0,
        call.called or "",
        call.id_at(now_ms),
        call.caller,
        *call.shown,
        call.verified.value,
        int(trusted),
        reason,
        _json.encode(reasons).decode() if reasons else "[]",
        _certainty(call) if trusted else None,
        _recorded_from(reasons, found.known, call.shown.caller_id) if trusted else None,
        "ringing" if trusted else "blocked",
        None,
        now_ms,
    )
    return Decision(row, found.known if trusted else NOBODY, call.tokens)


def _block_reason(call: Call, found: Callers, attestation: Attestation) -> BlockReason | None:
    if found.is_own:
        return "own_number"
    if not found.reasons:
        if found.is_distrusted:
            return "untrusted_contact"
        return "unknown" if call.number is not None or call.person is not None else "no_number"
    # An app does not call from the telephone network: Twilio has authenticated it.
    if call.person is None and not attestation.at_least(found.attestation).admits(call.verified, call.caller):
        return "failed_verification" if call.verified is Verified.FAILED else "not_verified"
    return None


def _certainty(call: Call) -> Certainty:
    if call.person is not None:
        return "app"
    return "attested" if call.verified is Verified.PASSED_A else "number"


def _recorded_from(reasons: tuple[Reason, ...], known: CallAnswer, caller_name: str) -> int | None:
    """Return the party that the call is recorded from: the only reason, or else the only one with the caller's name."""
    parties = {-reason.id if reason.kind == "company" else reason.id for reason in reasons if reason.kind != "contact"}
    if len(parties) < 2:
        return parties.pop() if parties else None
    names = {person.id: f"{person.first_name or ''} {person.last_name or ''}" for person in known.people}
    names |= {-company.id: company.name or "" for company in known.companies}
    named = [party for party in parties if is_name_of(names.get(party, ""), caller_name, company=party < 0)]
    return named[0] if len(named) == 1 else None


def is_name_of(name: str, caller_name: str, *, company: bool = False) -> bool:
    """Return whether the network's name for a caller (``RAY BOB``) fits this name.

    Each of its words is one of the name's words, in any order. A company's may have more words (``ACME INC``); if the
    network's name was cut off, its last word may be the beginning of a word.
    """
    words, given = _words(name), _words(caller_name)
    if not words or not given:
        return False
    if company and set(words) <= set(given):
        return True
    is_cut = len(caller_name.strip()) >= _CNAM_CHARACTERS
    *whole, last = given
    last_fits = any(word == last or (is_cut and word.startswith(last)) for word in words)
    return last_fits and set(whole) <= set(words)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
