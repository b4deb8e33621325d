"""The claims of an identity provider's token against what the operator has set: pure functions, one for each claim.

:func:`caller_of` is for a token that opens something; it stops at the first claim that does not fit. ``run.py token
check`` shows the findings of all claims.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from protocol.activity import rfc3339
from server.auth.contract import NO_SCOPES, Caller
from server.auth.refusals import BadToken, RefusalReason
from server.auth.tokens import person_of, token_digest

NOT_BEFORE_LEEWAY_SECONDS: Final = 30
"""How far the provider's clock may be ahead of ours."""

_SHOWN_CHARACTERS: Final = 200
_LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999, the last that RFC 3339 can write."""
_SEPARATOR: Final = re.compile(r"(?<!\\)\.")

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider: where its keys are, and what its tokens must have.

    ``person_claim`` is a claim's name or path (:func:`claim_at`). ``client_claim``, if any, is the claim that a token
    without ``aud`` must have instead, with one of ``client_ids``.
    """

    source: str
    issuer: str
    audience: str
    person_claim: str = "sub"
    client_claim: str | None = None
    client_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimFinding:
    """What is to be said about one claim, exactly but without the person's. ``reason``: why it refuses the token."""

    claim: str
    text: str
    reason: RefusalReason | None = None


def claim_at(claims: Claims, path: str) -> object:
    r"""Return the claim with this name or, if there is none, at this path; None if there is neither.

    In a path each dot goes into an object; ``\.`` is a dot inside a name.
    """
    if path in claims:
        return claims[path]
    found: object = claims
    for name in names_in(path):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def names_in(path: str) -> list[str]:
    r"""Return the names of a path: it is separated at each dot without a backslash before it."""
    return [name.replace("\\.", ".") for name in _SEPARATOR.split(path)]


def person_in(claims: Claims, provider: Provider) -> int | None:
    """Return the person that the token names, also as the only value of a list; None if it names none."""
    value = claim_at(claims, provider.person_claim)
    return person_of(value[0] if isinstance(value, list) and len(value) == 1 else value)


def check_issuer(claims: Claims, provider: Provider) -> ClaimFinding:
    """Check ``iss``: exactly the configured text."""
    found, wanted = claims.get("iss"), provider.issuer
    if found == wanted:
        return ClaimFinding("iss", "it is BUZZ_JWT_ISSUER")
    hint = ""
    if isinstance(found, str) and found.rstrip("/") == wanted.rstrip("/"):
        hint = " (they differ in the slash at the end)"
    return ClaimFinding("iss", f"{_is('iss', found)}, BUZZ_JWT_ISSUER is {shown(wanted)}{hint}", RefusalReason.ISSUER)


def check_audience(claims: Claims, provider: Provider) -> ClaimFinding:
    """Check ``aud``, a text or a list with the configured one; without ``aud``, the client claim if one is set."""
    found = claims.get("aud")
    if found is None:
        return _check_client(claims, provider)
    if provider.audience in (found if isinstance(found, list) else [found]):
        return ClaimFinding("aud", "it has BUZZ_JWT_AUDIENCE")
    return ClaimFinding(
        "aud", f"{_is('aud', found)}, BUZZ_JWT_AUDIENCE is {shown(provider.audience)}", RefusalReason.AUDIENCE
    )


def _check_client(claims: Claims, provider: Provider) -> ClaimFinding:
    name = provider.client_claim
    if name is None:
        wanted = f"BUZZ_JWT_AUDIENCE is {shown(provider.audience)}"
        return ClaimFinding(
            "aud", f"there is no aud, {wanted}, BUZZ_JWT_CLIENT_CLAIM is not set", RefusalReason.AUDIENCE
        )
    found, wanted_ids = claim_at(claims, name), provider.client_ids or (provider.audience,)
    if isinstance(found, str) and found in wanted_ids:
        return ClaimFinding("aud", f"there is none, but {name} is an accepted client")
    setting = "BUZZ_JWT_CLIENT_IDS" if provider.client_ids else "BUZZ_JWT_AUDIENCE"
    text = f"there is no aud, {_is(name, found)}, {setting} is {shown(','.join(wanted_ids))}"
    return ClaimFinding("aud", text, RefusalReason.AUDIENCE)


def check_expiry(claims: Claims) -> ClaimFinding:
    """Check that ``exp`` is a time. Whether it has passed is asked at every use of the token."""
    at = seconds(claims, "exp")
    if at is None:
        return ClaimFinding(
            "exp", f"{_is('exp', claims.get('exp'))}, and must be a time in seconds", RefusalReason.CLAIMS
        )
    return ClaimFinding("exp", time_text(at))


def check_not_before(claims: Claims, now_s: float) -> ClaimFinding:
    """Check that ``nbf`` has passed, if there is one."""
    at = seconds(claims, "nbf")
    if at is None:
        return ClaimFinding("nbf", "there is none, and none is needed")
    if at > now_s + NOT_BEFORE_LEEWAY_SECONDS:
        return ClaimFinding("nbf", f"nbf is {time_text(at)}, now it is {time_text(now_s)}", RefusalReason.NOT_YET_VALID)
    return ClaimFinding("nbf", time_text(at))


def check_person(claims: Claims, provider: Provider) -> ClaimFinding:
    """Check that a person is named. The text has only the type of the value, which may be a phone number."""
    person, path = person_in(claims, provider), provider.person_claim
    if person is not None:
        return ClaimFinding("person", f"{path} names person {person}")
    value = claim_at(claims, path)
    hint = " (BUZZ_JWT_PERSON_CLAIM)" if value is not None else f"; the token has {_names(claims)}"
    return ClaimFinding("person", f"{path} {_kind(value)}, and must be a person's id{hint}", RefusalReason.PERSON)


def refusing(claims: Claims, provider: Provider, now_s: float) -> list[ClaimFinding]:
    """Return the findings of every claim that can refuse a token, in the order in which they are asked."""
    return [
        check_issuer(claims, provider),
        check_audience(claims, provider),
        check_expiry(claims),
        check_not_before(claims, now_s),
        check_person(claims, provider),
    ]


def caller_of(token: str, claims: Claims, provider: Provider, key_id: str, now_s: float) -> Caller:
    """Return the person of a token whose signature is right. The expiry is not checked. Raises BadToken."""
    for finding in refusing(claims, provider, now_s):
        if finding.reason is not None:
            raise BadToken(finding.reason, finding.text)
    return any_caller(token, claims, person_in(claims, provider), key_id)


def any_caller(token: str, claims: Claims, person_id: int | None, key_id: str) -> Caller:
    """Return the caller by which a token is revoked, whatever else is wrong with it."""
    # Without `iat` a token counts as old: every revocation of its person ends it.
    issued_at_ms = round((seconds(claims, "iat") or 0) * 1000)
    expires_at_ms = round((seconds(claims, "exp") or 0) * 1000)
    token_id = token_id_in(claims) or token_digest(token).hex()[:32]
    return Caller(f"person:{person_id}", person_id, NO_SCOPES, token_id, expires_at_ms, issued_at_ms, key_id)


def token_id_in(claims: Claims) -> str:
    """Return the token's id (``jti``) as text; "" if it has none that can be used."""
    jti = claims.get("jti")
    is_number = isinstance(jti, int) and not isinstance(jti, bool)
    return str(jti) if is_number or isinstance(jti, str) else ""


def seconds(claims: Claims, name: str) -> float | None:
    """Return a time in seconds since 1970; None if the claim is missing or no such time."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**43:
        return None
    return value


def time_text(at_s: float) -> str:
    """Return a time as RFC 3339, or as a number if it is too far in the future for that."""
    return rfc3339(round(at_s * 1000)) if at_s <= _LAST_SECOND else f"{at_s:g}"


def shown(value: object) -> str:
    """Return a claim's value as JSON, cut if it is long."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _is(name: str, value: object) -> str:
    return f"there is no {name}" if value is None else f"{name} is {shown(value)}"


def _names(claims: Claims) -> str:
    return shown(", ".join(sorted(claims))[:_SHOWN_CHARACTERS])


_KINDS: Final[tuple[tuple[type, Callable[[Any], str]], ...]] = (
    (bool, lambda _: "is true or false"),
    (str, lambda value: f"is a text of {len(value)} characters"),
    (list, lambda value: f"is a list of {len(value)} values"),
    (Mapping, lambda _: "is an object: name a claim inside it, after a dot"),
)


def _kind(value: object) -> str:
    if value is None:
        return "is missing"
    return next((say(value) for kind, say in _KINDS if isinstance(value, kind)), "is a number that is no id")
