"""Buzz's own access tokens: JWTs signed with EdDSA (RFC 7519, RFC 8037), created and checked without a database.

The first segment of a token is fixed for a key, so the key is found by that exact text: the header is never
interpreted, and a token cannot choose the algorithm.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import urlsafe_b64decode
from typing import Final

import msgspec
from nacl.bindings import crypto_sign_BYTES, crypto_sign_open
from nacl.exceptions import BadSignatureError

from protocol.validation import MAX_ID
from server.auth.contract import NO_SCOPES, SERVICE_SCOPES, Caller
from server.auth.refusals import BadToken, RefusalReason
from server.auth.signing_keys import KeyRing, encode_segment

ISSUER: Final = "buzz"
AUDIENCE: Final = "buzz"
MAX_TOKEN_CHARACTERS: Final = 8_192
MAX_TTL_SECONDS: Final = 366 * 86_400
PERSON_SCOPE: Final = "app"


_OWN_ID = re.compile(r"[A-Za-z0-9_-]{22}")
"""What ``secrets.token_urlsafe(16)`` makes."""
_JWT_BEGINS = "eyJ"
"""A JSON object in base64url, as a token's first two parts are. New ids never begin so."""


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    aud: str
    sub: str
    scope: str
    jti: str
    iat: float
    exp: int


_decode_claims = msgspec.json.Decoder(_Claims, strict=True).decode
_encode = msgspec.json.Encoder().encode


def mint_person(ring: KeyRing, person_id: int, ttl_seconds: int, now_ms: int) -> str:
    """Create a person's access token. Raises ValueError for an impossible id or time to live."""
    if not 1 <= person_id <= MAX_ID:
        raise ValueError("a person's id is an integer of at least 1")
    return _mint(ring, f"person:{person_id}", PERSON_SCOPE, ttl_seconds, now_ms)


def mint_service(ring: KeyRing, name: str, scope: str, ttl_seconds: int, now_ms: int) -> str:
    """Create a service's token. Raises ValueError for a bad name, scope or time to live."""
    if not (1 <= len(name) <= 64 and name.isascii() and name.isprintable() and " " not in name):
        raise ValueError("a service's name is 1 to 64 printable ASCII characters without spaces")
    if scope not in SERVICE_SCOPES:
        raise ValueError(f"a service's scope is one of {', '.join(sorted(SERVICE_SCOPES))}")
    return _mint(ring, f"service:{name}", scope, ttl_seconds, now_ms)


def _mint(ring: KeyRing, subject: str, scope: str, ttl_seconds: int, now_ms: int) -> str:
    if not 1 <= ttl_seconds <= MAX_TTL_SECONDS:
        raise ValueError(f"a token is valid for 1 to {MAX_TTL_SECONDS} seconds")
    # iat has milliseconds: a token created right after a revocation of the same person must stay valid.
    claims = _Claims(ISSUER, AUDIENCE, subject, scope, _new_id(), now_ms / 1000, now_ms // 1000 + ttl_seconds)
    signed = f"{ring.signing.header}.{encode_segment(_encode(claims))}"
    return f"{signed}.{encode_segment(ring.signing.private.sign(signed.encode()))}"


def _new_id() -> str:
    """Return a random id that no command line takes for an option and nobody for a token."""
    while (id := secrets.token_urlsafe(16)).startswith(("-", _JWT_BEGINS)):
        pass
    return id


def is_token_id(text: str, *, foreign: bool) -> bool:
    """Return whether this has the form of a token's id (``jti``), and is no part of a token.

    ``foreign``: an identity provider creates tokens too, with ids of any form.
    """
    if _OWN_ID.fullmatch(text) is not None:
        return not text.startswith(_JWT_BEGINS)
    return foreign and 1 <= len(text) <= 256 and "." not in text and not text.startswith(_JWT_BEGINS)


def is_own(ring: KeyRing, token: str) -> bool:
    """Return whether the token names one of our keys. The signature is not checked."""
    return token.partition(".")[0] in ring.by_header


def read_own(ring: KeyRing, token: str) -> Caller:
    """Verify one of our own tokens and return its caller.

    Signature, issuer and audience are checked; the expiry is not. Raises BadToken.
    """
    signed, _, signature = token.rpartition(".")
    header, _, payload = signed.partition(".")
    key = ring.by_header.get(header)
    if key is None:
        if token.count(".") != 2:
            raise BadToken(RefusalReason.MALFORMED, "it is no JWT: it has not three parts, separated by dots")
        raise BadToken(RefusalReason.KEY, "not signed with a key of this server, and BUZZ_JWKS is not set")
    try:
        # libsodium needs about half of OpenSSL's time, and this check is most of the cost of opening a session.
        proof = decode_segment(signature)
        if len(proof) != crypto_sign_BYTES:
            raise BadToken(RefusalReason.SIGNATURE, "the signature is malformed")
        crypto_sign_open(proof + signed.encode("ascii"), key.public)
    except (BadSignatureError, UnicodeEncodeError) as error:
        raise BadToken(RefusalReason.SIGNATURE, "the signature is wrong") from error
    return _caller(_claims(payload), key.header)


def token_digest(token: str) -> bytes:
    """Return the digest by which a token is cached, so that a memory dump contains no token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def decode_segment(segment: str) -> bytes:
    """Decode base64url without padding. Raises BadToken unless it is the canonical encoding."""
    try:
        data = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError as error:
        raise BadToken(RefusalReason.MALFORMED, "not base64url") from error
    if encode_segment(data) != segment:
        raise BadToken(RefusalReason.MALFORMED, "not canonical base64url")
    return data


def person_of(subject: object) -> int | None:
    """Return the person that a claim names: ``person:456``, ``"456"`` or ``456``; None for anything else."""
    if isinstance(subject, int) and not isinstance(subject, bool):
        return subject if 1 <= subject <= MAX_ID else None
    if not isinstance(subject, str):
        return None
    digits = subject.removeprefix("person:")
    is_id = digits.isascii() and digits.isdigit() and len(digits) <= 19 and digits[0] != "0"
    return int(digits) if is_id and int(digits) <= MAX_ID else None


def _claims(payload: str) -> _Claims:
    try:
        claims = _decode_claims(decode_segment(payload))
    except msgspec.DecodeError as error:
        raise BadToken(RefusalReason.CLAIMS, "its claims are malformed") from error
    if claims.iss != ISSUER or claims.aud != AUDIENCE:
        raise BadToken(RefusalReason.AUDIENCE, f"iss and aud of Buzz's own tokens are {ISSUER} and {AUDIENCE}")
    return claims


def _caller(claims: _Claims, key: str) -> Caller:
    expires_at_ms, issued_at_ms = claims.exp * 1000, round(claims.iat * 1000)
    kind, _, _ = claims.sub.partition(":")
    if kind == "service":
        scopes = frozenset(claims.scope.split()) & SERVICE_SCOPES
        return Caller(claims.sub, None, scopes, claims.jti, expires_at_ms, issued_at_ms, key)
    person_id = person_of(claims.sub) if kind == "person" else None
    if person_id is None:
        raise BadToken(RefusalReason.PERSON, "its sub is neither a person nor a service")
    return Caller(claims.sub, person_id, NO_SCOPES, claims.jti, expires_at_ms, issued_at_ms, key)
