"""Attestation (STIR/SHAKEN): what the caller's network confirms about the number that a call shows.

Networks of country code 1 sign calls: A says that the caller may use the number, B that the network knows the caller, C
that it accepted the call at a gateway. Sources: ATIS-1000074, and Twilio's documentation of ``StirVerstat``
(https://www.twilio.com/docs/voice/trusted-calling-with-shakenstir).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from pydantic import TypeAdapter

from protocol.validation import Strict

AttestationPolicy = Literal["refuse-failed", "require", "ignore"]
AttestationLevel = Literal["A", "B", "C"]

SIGNING_CODE: Final = "+1"
"""The country code whose networks sign: ``require`` asks nothing of the others."""

_STRICTNESS: Final[dict[str, int]] = {"ignore": 0, "refuse-failed": 1, "require": 2}
# "-Diverted": signed by a network that forwarded the call; "-Passthrough": by the first one, forwarded unchanged.
_VERSTAT: Final = re.compile(r"tn-validation-(passed|failed)(?:-([abc]))?(?:-(?:diverted|passthrough))?")
_FAILED: Final = "tn-validation-failed"
_UNSIGNED: Final = frozenset({"", "no-tn-validation"})
_UNREADABLE: Final = "null"
"""Twilio's documentation explains ``NULL`` as it explains a failed validation."""


class Verified(StrEnum):
    """The result of checking a call's signature."""

    PASSED_A = "passed-a"
    PASSED_B = "passed-b"
    PASSED_C = "passed-c"
    FAILED = "failed"
    NONE = "none"


class Verstat(NamedTuple):
    """Twilio's result for a call. ``is_known``: it is a value that Twilio documents."""

    verified: Verified
    is_known: bool


@lru_cache(maxsize=64)
def read_verstat(text: str) -> Verstat:
    """Read ``StirVerstat`` (empty: the call was not signed). An unknown value never counts as a passed validation."""
    value = text.strip().lower()
    if value in _UNSIGNED:
        return Verstat(Verified.NONE, True)
    match = _VERSTAT.fullmatch(value)
    if match is None or (match[1] == "passed" and match[2] is None):
        failed = value.startswith(_FAILED) or value == _UNREADABLE
        return Verstat(Verified.FAILED if failed else Verified.NONE, value == _UNREADABLE)
    return Verstat(Verified.FAILED if match[1] == "failed" else Verified(f"passed-{match[2]}"), True)


class Attestation(NamedTuple):
    """What is required of a call's signature. ``level``: the lowest level that ``require`` accepts."""

    policy: AttestationPolicy = "refuse-failed"
    level: AttestationLevel = "B"

    def at_least(self, own: str | None) -> Attestation:
        """Return the stricter of this policy and a person's own, which may only require more."""
        if own is None or _STRICTNESS.get(own, 0) <= _STRICTNESS[self.policy]:
            return self
        return self._replace(policy=own)  # type: ignore[arg-type]

    def admits(self, verified: Verified, e164: str) -> bool:
        """Return whether a call that shows this number may count as a call from it."""
        if self.policy == "ignore":
            return True
        if verified is Verified.FAILED:
            return False
        if self.policy == "refuse-failed" or not e164.startswith(SIGNING_CODE):
            return True
        return verified is not Verified.NONE and verified.value[-1].upper() <= self.level


class CallSettings(Strict):
    """``PUT call-settings``.

    ``attestation``: what the person requires of calls to them; null: the operator's setting.
    """

    attestation: Literal["refuse-failed", "require"] | None
    """What the person requires of calls to them; null: the operator's setting."""


@dataclass(frozen=True, slots=True)
class CallSettingsAnswer:
    """What the person requires, and ``in_force``: the stricter of that and the operator's setting."""

    attestation: Literal["refuse-failed", "require"] | None
    """What the person requires; null: the operator's setting."""
    in_force: AttestationPolicy
    """The stricter of that and the operator's setting."""


CALL_SETTINGS: TypeAdapter[CallSettings] = TypeAdapter(CallSettings)
