"""Why a token is refused: what its sender is told, what the log says, and how often each reason occurred.

The sender is told the reason in general words, without what the server expects: they may be an attacker. The log says
exactly what did not fit. Neither shows the token, nor the value of the claim that names the person, which may be a
phone number or an address.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import StrEnum, unique
from typing import Final

import structlog

from protocol.errors import InvalidToken
from server.runtime.limits import Buckets

LOGGED_PER_SECOND: Final = 0.1
"""For each reason: a client may repeat a refused token at any rate."""
LOGGED_AT_ONCE: Final = 5

_logger = structlog.get_logger("auth")


@unique
class RefusalReason(StrEnum):
    """Why a token is refused; each is a label of the metric ``buzz_tokens_refused_total``."""

    MISSING = "missing"
    MALFORMED = "malformed"
    KEY = "key"
    ALGORITHM = "algorithm"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    CLAIMS = "claims"
    PERSON = "person"
    SCOPE = "scope"
    REVOKED = "revoked"
    KEY_REMOVED = "key_removed"
    NOT_IN_DIRECTORY = "not_in_directory"
    KEYS_UNREADABLE = "keys_unreadable"


_UNPROVEN: Final = "the token's signature could not be verified"
"""One sentence for all that may be wrong with an unproven token: key, algorithm or signature."""

TOLD: Final[Mapping[RefusalReason, str]] = {
    RefusalReason.MISSING: "the token is missing",
    RefusalReason.MALFORMED: "this is not a token of a supported form",
    RefusalReason.KEY: _UNPROVEN,
    RefusalReason.ALGORITHM: _UNPROVEN,
    RefusalReason.SIGNATURE: _UNPROVEN,
    RefusalReason.ISSUER: "the token's issuer is not one that this server accepts",
    RefusalReason.AUDIENCE: "the token's audience is not this server's",
    RefusalReason.EXPIRED: "the token has expired",
    RefusalReason.NOT_YET_VALID: "the token is not valid yet",
    RefusalReason.CLAIMS: "the token's claims are incomplete or malformed",
    RefusalReason.PERSON: "the token does not say which person it belongs to",
    RefusalReason.SCOPE: "the token does not allow this",
    RefusalReason.REVOKED: "the token was revoked",
    RefusalReason.KEY_REMOVED: "the token's signing key is no longer in force",
    RefusalReason.NOT_IN_DIRECTORY: "the token's person is not in the directory",
    RefusalReason.KEYS_UNREADABLE: "the identity provider's keys can't be read now",
}
"""What the sender is told; printable ASCII without quotes and backslashes (RFC 6750, section 3)."""


class BadToken(Exception):
    """The token is not valid. The message is exact: for the log and for operators, never for the token's sender."""

    def __init__(self, reason: RefusalReason, message: str, told: InvalidToken | None = None) -> None:
        """``told``: what the sender is told, if it is not the reason's sentence."""
        super().__init__(message)
        self.reason = reason
        self.told = told


class Refusals:
    """The refused tokens of one node: ``counts`` by reason, and the lines of the log, a few for each reason."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.counts: dict[str, int] = dict.fromkeys(RefusalReason, 0)
        self._unlogged: dict[RefusalReason, int] = {}
        self._lines: Buckets[RefusalReason] = Buckets(LOGGED_PER_SECOND, LOGGED_AT_ONCE, now=monotonic)

    def note(self, reason: RefusalReason, detail: str) -> None:
        """Count a refused token, and log ``detail`` unless this reason was logged too often just now."""
        self.counts[reason] += 1
        if reason is RefusalReason.MISSING:
            return
        if self._lines.take(reason):
            self._unlogged[reason] = self._unlogged.get(reason, 0) + 1
            return
        more = self._unlogged.pop(reason, 0)
        _logger.info("token refused", reason=reason.value, detail=detail, **({"not_logged": more} if more else {}))
