"""What is to be said about each part of a token, for the operator who asks why it is refused (``run.py token check``).

Whether the token is accepted is decided by the same code as for a request; this only explains it, and goes on after the
first fault. The claims of a token with a wrong signature are shown as well: they may say where it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
import msgspec

from protocol.errors import ApiError, InvalidToken
from server.auth.claims import (
    ClaimFinding,
    any_caller,
    check_audience,
    check_expiry,
    check_issuer,
    check_not_before,
    check_person,
    claim_at,
    person_in,
    seconds,
    shown,
    time_text,
    token_id_in,
)
from server.auth.contract import SCOPE_ADMIN, SCOPE_LOOKUP, SCOPE_METRICS, Caller, People
from server.auth.jwks import ProviderKey, ProviderKeys, algorithm_of, either, header_of, kid_of, verified_claims
from server.auth.refusals import BadToken, RefusalReason
from server.auth.revocations import Revocations
from server.auth.signing_keys import KeyRing
from server.auth.tokens import AUDIENCE, ISSUER, MAX_TOKEN_CHARACTERS, PERSON_SCOPE, is_own, person_of, read_own

OK: Final = "ok"
REFUSED: Final = "refused"
NOTE: Final = "note"
OPENS: Final[Mapping[str, str]] = {
    PERSON_SCOPE: "opens the routes of the app, as this person",
    SCOPE_LOOKUP: "opens the look-ups",
    SCOPE_ADMIN: "opens the operators' routes",
    SCOPE_METRICS: "opens /metrics",
}


@dataclass(frozen=True, slots=True)
class TokenPart:
    """One part of a token that was checked."""

    check: str
    """What was checked, such as `signature` or `exp`."""
    result: str
    """`ok`, `refused`, or `note` for what is worth knowing."""
    value: str = ""
    """What the token has there."""
    explanation: str = ""
    """Why it is accepted or refused."""


@dataclass(frozen=True, slots=True)
class CheckedToken:
    """Whether a token is accepted, as whose; or why it is refused, and what its sender is told."""

    accepted: bool
    """Whether the token would be accepted."""
    subject: str | None
    """Whose token it is, such as `person:7`."""
    reason: str | None
    """The reason in the metric of refusals."""
    told: str | None
    """What the sender of the token is told."""
    checks: list[TokenPart]
    """The parts of the token, in the order in which they are checked."""

    @classmethod
    def accepted_as(cls, caller: Caller, checks: list[TokenPart]) -> CheckedToken:
        return cls(accepted=True, subject=caller.subject, reason=None, told=None, checks=checks)

    @classmethod
    def refused(cls, error: BadToken, told: ApiError, checks: list[TokenPart]) -> CheckedToken:
        text = told.reason if isinstance(told, InvalidToken) else told.message
        if all(part.result != REFUSED for part in checks):
            checks = [*checks, TokenPart("verdict", REFUSED, explanation=str(error))]
        return cls(accepted=False, subject=None, reason=error.reason.value, told=text, checks=checks)


@dataclass
class TokenInspection:
    """Looks at one token with what this node knows."""

    ring: KeyRing
    provider: ProviderKeys | None
    revocations: Revocations
    people: People
    now_ms: Callable[[], int]
    _parts: list[TokenPart] = field(default_factory=list)

    async def of(self, token: str) -> list[TokenPart]:
        """Return what is to be said about each part of the token, in the order in which a request is checked."""
        try:
            claims = _unproven_claims(token)
        except BadToken as error:
            return [TokenPart("form", REFUSED, f"{len(token)} characters", str(error))]
        self._add("form", OK, f"{len(token)} characters", "a signed JWT")
        if is_own(self.ring, token):
            self._own_signature(token)
            self._own_claims(claims)
            person_id = person_of(claims.get("sub")) if str(claims.get("sub")).startswith("person:") else None
        else:
            await self._provided_signature(token)
            self._provided_claims(claims)
            person_id = person_in(claims, self.provider.provider) if self.provider else None
        self._revocation(token, claims, person_id)
        await self._directory(person_id)
        return self._parts

    def _add(self, check: str, result: str, value: str = "", explanation: str = "") -> None:
        self._parts.append(TokenPart(check, result, value, explanation))

    def _claim(self, finding: ClaimFinding, value: object) -> None:
        result = OK if finding.reason is None else REFUSED
        self._add(finding.claim, result, "" if value is None else shown(value), finding.text)

    def _own_signature(self, token: str) -> None:
        self._add("key", OK, shown(kid_of(token)), "one of Buzz's own keys")
        self._add("alg", OK, algorithm_of(token), "")
        try:
            read_own(self.ring, token)
        except BadToken as error:
            if error.reason is RefusalReason.SIGNATURE:
                self._add("signature", REFUSED, "", f"{error}; what follows may have been changed")
                return
        self._add("signature", OK)

    def _own_claims(self, claims: Mapping[str, Any]) -> None:
        for name, wanted in (("iss", ISSUER), ("aud", AUDIENCE)):
            fits = claims.get(name) == wanted
            text = "" if fits else f"Buzz's own tokens have {shown(wanted)}"
            self._add(name, OK if fits else REFUSED, _value(claims, name), text)
        self._times(claims)
        self._add("person", OK, _value(claims, "sub"))
        self._add("scope", OK, _value(claims, "scope"), OPENS.get(str(claims.get("scope")), ""))

    async def _provided_signature(self, token: str) -> None:
        try:
            key = await self._key_of(token)
        except BadToken as error:
            self._add("key", REFUSED, shown(header_of(token).get("kid")), str(error))
            return
        self._add("key", OK, shown(kid_of(token)), f"a key of BUZZ_JWKS, for {either(key)}")
        try:
            verified_claims(token, key)
        except BadToken as error:
            if error.reason is RefusalReason.ALGORITHM:
                self._add("alg", REFUSED, algorithm_of(token), str(error))
                return
            self._add("alg", OK, algorithm_of(token))
            self._add("signature", REFUSED, "", f"{error}; what follows may have been changed")
            return
        self._add("alg", OK, algorithm_of(token))
        self._add("signature", OK)

    async def _key_of(self, token: str) -> ProviderKey:
        if self.provider is None:
            raise BadToken(RefusalReason.KEY, "it is none of Buzz's own keys, and BUZZ_JWKS is not set")
        return await self.provider.key_of(token)

    def _provided_claims(self, claims: Mapping[str, Any]) -> None:
        if self.provider is None:
            for name in ("iss", "aud", "sub"):
                self._add(name, NOTE, _value(claims, name), "not checked: BUZZ_JWKS is not set")
            self._times(claims)
            return
        wanted = self.provider.provider
        self._claim(check_issuer(claims, wanted), claims.get("iss"))
        self._claim(check_audience(claims, wanted), claims.get("aud"))
        self._times(claims)
        self._claim(check_person(claims, wanted), claim_at(claims, wanted.person_claim))
        text = "not used: these tokens open the routes of the app, as their person"
        self._add("scope", OK, _value(claims, "scope") or _value(claims, "scp"), text)

    def _times(self, claims: Mapping[str, Any]) -> None:
        now_s = self.now_ms() / 1000
        expiry, at = check_expiry(claims), seconds(claims, "exp")
        if at is not None and at <= now_s:
            expiry = ClaimFinding("exp", f"{expiry.text}: expired {now_s - at:.0f} s ago", RefusalReason.EXPIRED)
        self._claim(expiry, claims.get("exp"))
        self._claim(check_not_before(claims, now_s), claims.get("nbf"))
        issued = seconds(claims, "iat")
        if issued is None:
            self._add("iat", NOTE, "", "there is none: every revocation of the person's tokens ends this one")
        else:
            late = issued > now_s
            text = f"{time_text(issued)}{': in the future, check the clocks' if late else ''}"
            self._add("iat", NOTE if late else OK, _value(claims, "iat"), text)

    def _revocation(self, token: str, claims: Mapping[str, Any], person_id: int | None) -> None:
        caller = any_caller(token, claims, person_id, "")
        value = _value(claims, "jti")
        if self.revocations.is_revoked(caller):
            self._add("jti", REFUSED, value, self.revocations.explain(caller))
        else:
            named = "" if token_id_in(claims) else "; it has no id, so revoke it by the whole token"
            self._add("jti", OK, value, f"not revoked{named}")

    async def _directory(self, person_id: int | None) -> None:
        if person_id is None:
            self._add("directory", NOTE, "", "it names no person")
            return
        await self.people.find_person(person_id)
        if self.people.is_gone(person_id):
            self._add("directory", REFUSED, str(person_id), "this person is not in the directory: import them")
        else:
            self._add("directory", OK, str(person_id), "this person is in the directory")


def _value(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return "" if value is None else shown(value)


def _unproven_claims(token: str) -> Mapping[str, Any]:
    """Return the claims of a token whose signature nobody has checked, only to show them. Raises BadToken."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise BadToken(RefusalReason.MALFORMED, f"longer than {MAX_TOKEN_CHARACTERS} characters")
    try:
        payload = jwt.api_jws.decode(token, options={"verify_signature": False})
        return msgspec.json.decode(payload, type=dict[str, Any])
    except (jwt.PyJWTError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadToken(RefusalReason.MALFORMED, f"it is no JWT: {error}") from error
