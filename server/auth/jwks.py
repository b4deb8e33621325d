"""The operator's identity provider: its published keys (JWKS, RFC 7517), and the people's tokens that they sign.

Every key is valid for one algorithm, read from the key and never from a token. Keys come from a file or an https URL,
stay cached while the source can't be reached, and are fetched again when a token names an unknown one.
"""

from __future__ import annotations

import hashlib
import time
from asyncio import Lock
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm

from protocol.errors import ApiError, ErrorCode
from server.auth.contract import Caller
from server.auth.tokens import NO_SCOPES, BadToken, person_of, token_digest
from server.http.outbound import open_session, read_answer

REFRESH_SECONDS: Final = 600.0
MIN_REFRESH_SECONDS: Final = 30.0
"""Unknown key ids make a fetch at most this often, so that forged ones can't turn Buzz against its provider."""

NOT_BEFORE_LEEWAY_SECONDS: Final = 30
"""How far the provider's clock may be ahead of ours."""

_FETCH_SECONDS: Final = 5.0
_MAX_JWKS_BYTES: Final = 1024 * 1024
_MIN_RSA_BITS: Final = 2_048
_ALGORITHMS: Final[Mapping[tuple[str, str | None], tuple[str, ...]]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
}
"""By type and curve: what a key may be declared for; the first where it declares nothing. No symmetric keys."""

_ED25519: Final = frozenset({"EdDSA", "Ed25519"})
"""One algorithm under two names: RFC 8037 calls it EdDSA, RFC 9864 Ed25519."""

with suppress(ValueError):  # a later PyJWT may know this name
    jwt.register_algorithm("Ed25519", OKPAlgorithm())

_logger = structlog.get_logger("auth")


class JwksError(Exception):
    """The provider's keys can't be read; the message says why and what was expected."""


class ProviderKey(NamedTuple):
    """One public key and its only algorithm. ``id`` identifies the key itself, independent of its key id."""

    algorithm: str
    key: Any
    id: str

    @property
    def names(self) -> list[str]:
        """The names of that algorithm in a token."""
        return sorted(_ED25519) if self.algorithm in _ED25519 else [self.algorithm]


@dataclass(frozen=True, slots=True)
class Provider:
    """Where the keys are, and what its tokens must have: issuer, audience, and the claim that names the person."""

    source: str
    issuer: str
    audience: str
    person_claim: str = "sub"


class ProviderKeys:
    """The provider's keys by issuer and key id; they verify tokens.

    ``in_force``: the ids of the keys that the provider listed last. ``on_forgotten`` is called when one was removed.
    """

    def __init__(
        self, provider: Provider, now_ms: Callable[[], int], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._provider = provider
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._keys: dict[tuple[str, str | None], ProviderKey] | None = None
        self.in_force: frozenset[str] = frozenset()
        self.on_forgotten: Callable[[], None] = lambda: None
        self._next_fetch_at = 0.0
        self._unreachable = True
        self._fetching = Lock()

    async def refresh(self) -> None:
        """Read the keys again. Raises JwksError, and keeps the present keys then."""
        async with self._fetching:
            await self._fetch()

    async def verify(self, token: str) -> Caller:
        """Verify one of the provider's tokens and return its person. The caller checks the expiry.

        Raises BadToken; ApiError(unavailable) while the keys have never been readable.
        """
        key = await self._key_of(token)
        provider = self._provider
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=key.names,
                audience=provider.audience,
                issuer=provider.issuer,
                # Times are compared with the injected clock: `nbf` here, `exp` at every use. `sub` and `jti` are read
                # below: providers write numbers or null into them, and another claim may name the person.
                options={
                    "require": ["exp", "aud", "iss"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
        except jwt.PyJWTError as error:
            raise BadToken(str(error)) from error
        return self._caller(token, claims, key)

    async def _key_of(self, token: str) -> ProviderKey:
        kid = _kid_of(token)
        found = self._known(kid)
        if found is None and (self._fetching.locked() or self._may_fetch()):
            # If a fetch is running, wait for it: the key may be a new one in its answer.
            async with self._fetching:
                if self._known(kid) is None and self._may_fetch():
                    await self._fetch_quietly()
            found = self._known(kid)
        if found is not None:
            return found
        if self._unreachable:
            # The key may be a new one: "unauthorized" would make a valid client give up.
            raise ApiError(ErrorCode.UNAVAILABLE, "The identity provider's keys can't be read.", MIN_REFRESH_SECONDS)
        raise BadToken("no key of the provider has this id")

    def _may_fetch(self) -> bool:
        return self._monotonic() >= self._next_fetch_at

    def _known(self, kid: str | None) -> ProviderKey | None:
        return self._keys.get((self._provider.issuer, kid)) if self._keys else None

    async def _fetch_quietly(self) -> None:
        try:
            await self._fetch()
        except JwksError as error:
            _logger.warning("the identity provider's keys can't be read", reason=str(error))

    async def _fetch(self) -> None:
        self._next_fetch_at = self._monotonic() + MIN_REFRESH_SECONDS
        self._unreachable = True
        keys = parse_jwks(await _read(self._provider.source))
        self._keys = {(self._provider.issuer, kid): key for kid, key in keys.items()}
        self._unreachable = False
        before, self.in_force = self.in_force, frozenset(key.id for key in keys.values())
        if not before <= self.in_force:
            self.on_forgotten()

    def _caller(self, token: str, claims: Mapping[str, Any], key: ProviderKey) -> Caller:
        person_id = person_of(claims.get(self._provider.person_claim))
        if person_id is None:
            raise BadToken(f"its claim '{self._provider.person_claim}' names no person")
        not_before = _seconds(claims, "nbf") or 0
        if not_before > self._now_ms() / 1000 + NOT_BEFORE_LEEWAY_SECONDS:
            raise BadToken("not valid yet")
        expires_at = _seconds(claims, "exp")
        if expires_at is None:
            raise BadToken("its 'exp' is not a time")
        token_id = _token_id(claims.get("jti")) or token_digest(token).hex()[:32]
        # Without `iat` a token counts as old: every revocation of its person ends it.
        issued_at_ms = round((_seconds(claims, "iat") or 0) * 1000)
        expires_at_ms = round(expires_at * 1000)
        return Caller(f"person:{person_id}", person_id, NO_SCOPES, token_id, expires_at_ms, issued_at_ms, key.id)


def _token_id(jti: object) -> str:
    """Return the token's id as text; "" if it has none that can be used."""
    is_number = isinstance(jti, int) and not isinstance(jti, bool)
    return str(jti) if is_number or isinstance(jti, str) else ""


def parse_jwks(text: bytes) -> dict[str | None, ProviderKey]:
    """Return the usable signature keys of a JWKS by key id. Others (symmetric, weak, for encryption) are left out.

    Raises JwksError if it is no JWKS, or holds no usable key.
    """
    try:
        found = msgspec.json.decode(text, type=dict[str, Any])["keys"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError) as error:
        raise JwksError('it is not a JWKS: expected a JSON object {"keys": […]}') from error
    usable = {}
    for jwk in found if isinstance(found, list) else []:
        key = _provider_key(jwk) if isinstance(jwk, dict) else None
        if key is not None:
            kid = jwk.get("kid")
            usable[kid if isinstance(kid, str) else None] = key
    if not usable:
        raise JwksError("it contains no public signature key that Buzz supports (RSA, EC, Ed25519)")
    return usable


def check_source(source: str) -> None:
    """Raise JwksError unless the source is a file that exists or an https URL (http for loopback)."""
    scheme, separator, rest = source.partition("://")
    if not separator:
        if not Path(source).is_file():
            raise JwksError(f"there is no file {source}")
        return
    host = rest.partition("/")[0].rpartition("@")[2]
    is_loopback = host.startswith(("127.0.0.1:", "localhost:", "[::1]:"))
    if scheme != "https" and not (scheme == "http" and is_loopback):
        raise JwksError("expected a file or an https URL")


async def _read(source: str) -> bytes:
    check_source(source)
    text = await _read_url(source) if "://" in source else _read_file(source)
    if len(text) > _MAX_JWKS_BYTES:
        raise JwksError(f"{source} is larger than {_MAX_JWKS_BYTES} bytes")
    return text


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise JwksError(f"cannot read {path}: {error.strerror}") from error


async def _read_url(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
    try:
        async with open_session(timeout=timeout) as session, session.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise JwksError(f"{url} answered {answer.status}, expected 200")
            return await read_answer(answer, _MAX_JWKS_BYTES)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise JwksError(f"cannot fetch {url}: {error or 'no answer in time'}") from error


def _provider_key(jwk: dict[str, Any]) -> ProviderKey | None:
    curve = jwk.get("crv")
    allowed = _ALGORITHMS.get((str(jwk.get("kty")), None if curve is None else str(curve)))
    algorithm = jwk.get("alg", allowed[0] if allowed else None)
    if not allowed or algorithm not in allowed or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None
    try:
        key = jwt.PyJWK(jwk, algorithm="EdDSA" if algorithm in _ED25519 else algorithm).key
    except (jwt.PyJWTError, ValueError, KeyError, TypeError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        return None
    return ProviderKey(algorithm, key, _id_of(algorithm, key))


def _id_of(algorithm: str, key: Any) -> str:
    """Return an id of the key itself, because a provider may use a removed key's key id for the next one."""
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return f"{algorithm}:{digest.hexdigest()}"


def _kid_of(token: str) -> str | None:
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError as error:
        raise BadToken("not a JWT") from error
    return kid if isinstance(kid, str) else None


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**43:
        return None
    return value
