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
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm
from jwt.api_jws import decode as decode_signed

from server.auth.claims import Claims, Provider, caller_of, shown
from server.auth.contract import Caller
from server.auth.refusals import BadToken, RefusalReason
from server.http.outbound import open_session, read_answer

REFRESH_SECONDS: Final = 600.0
MIN_REFRESH_SECONDS: Final = 30.0
"""Unknown key ids make a fetch at most this often, so that forged ones can't turn Buzz against its provider."""

_FETCH_SECONDS: Final = 5.0
_MAX_JWKS_BYTES: Final = 1024 * 1024
_MIN_RSA_BITS: Final = 2_048
_SHOWN_KIDS: Final = 5
_ALGORITHMS: Final[Mapping[tuple[str, str | None], tuple[str, ...]]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
}
"""By type and curve: what a key may be declared for; all of them where it declares nothing. No symmetric keys."""

_ED25519: Final = frozenset({"EdDSA", "Ed25519"})
"""One algorithm under two names: RFC 8037 calls it EdDSA, RFC 9864 Ed25519."""

with suppress(ValueError):  # a later PyJWT may know this name
    jwt.register_algorithm("Ed25519", OKPAlgorithm())

_logger = structlog.get_logger("auth")


class JwksError(Exception):
    """The provider's keys can't be read; the message says why and what was expected."""


class ProviderKey(NamedTuple):
    """One public key and the algorithms that it may be used with: the declared one, or all that its type allows.

    ``id`` identifies the key itself, independent of its key id.
    """

    algorithms: tuple[str, ...]
    key: Any
    id: str


class ProviderKeys:
    """The provider's keys by issuer and key id; they verify tokens.

    ``in_force``: the ids of the keys that the provider listed last. ``on_forgotten`` is called when one was removed.
    """

    def __init__(
        self, provider: Provider, now_ms: Callable[[], int], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.provider = provider
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._keys: dict[tuple[str, str | None], ProviderKey] | None = None
        self.in_force: frozenset[str] = frozenset()
        self.on_forgotten: Callable[[], None] = lambda: None
        self._next_fetch_at = 0.0
        self._failure = "the keys have not been read yet"
        self._unreachable = True
        self._fetching = Lock()

    async def refresh(self) -> None:
        """Read the keys again. Raises JwksError, and keeps the present keys then."""
        async with self._fetching:
            await self._fetch()

    async def verify(self, token: str) -> Caller:
        """Verify one of the provider's tokens and return its person. The caller checks the expiry.

        Raises BadToken, also (keys_unreadable) while the keys have never been readable.
        """
        key = await self.key_of(token)
        return caller_of(token, verified_claims(token, key), self.provider, key.id, self._now_ms() / 1000)

    async def key_of(self, token: str) -> ProviderKey:
        """Return the key that the token names; the keys are read again if there is none.

        Raises BadToken, also (keys_unreadable) if the key may be a new one and the keys can't be read.
        """
        kid = kid_of(token)
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
            raise BadToken(RefusalReason.KEYS_UNREADABLE, self._failure)
        named = "names no key (kid)" if kid is None else f"names the key (kid) {shown(kid)}"
        raise BadToken(RefusalReason.KEY, f"the token {named}, BUZZ_JWKS has {self._kids()}")

    def _kids(self) -> str:
        known = sorted(str(kid) for _, kid in self._keys or ())
        return ", ".join(known[:_SHOWN_KIDS]) + (f" and {len(known) - _SHOWN_KIDS} more" if known[_SHOWN_KIDS:] else "")

    def _may_fetch(self) -> bool:
        return self._monotonic() >= self._next_fetch_at

    def _known(self, kid: str | None) -> ProviderKey | None:
        return self._keys.get((self.provider.issuer, kid)) if self._keys else None

    async def _fetch_quietly(self) -> None:
        try:
            await self._fetch()
        except JwksError as error:
            _logger.warning("the identity provider's keys can't be read", reason=str(error))

    async def _fetch(self) -> None:
        self._next_fetch_at = self._monotonic() + MIN_REFRESH_SECONDS
        self._unreachable = True
        try:
            keys = parse_jwks(await _read(self.provider.source))
        except JwksError as error:
            self._failure = f"the identity provider's keys can't be read: {error}"
            raise
        self._keys = {(self.provider.issuer, kid): key for kid, key in keys.items()}
        self._unreachable = False
        before, self.in_force = self.in_force, frozenset(key.id for key in keys.values())
        if not before <= self.in_force:
            self.on_forgotten()


def verified_claims(token: str, key: ProviderKey) -> Claims:
    """Return the claims of a token that this key has signed. None of them is checked. Raises BadToken."""
    try:
        signed = decode_signed(token, key.key, algorithms=list(key.algorithms))
        return msgspec.json.decode(signed, type=dict[str, Any])
    except jwt.InvalidAlgorithmError as error:
        raise BadToken(
            RefusalReason.ALGORITHM, f"alg is {algorithm_of(token)}, its key is for {either(key)}"
        ) from error
    except jwt.InvalidSignatureError as error:
        raise BadToken(RefusalReason.SIGNATURE, "the signature does not fit the key that the token names") from error
    except (jwt.PyJWTError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadToken(RefusalReason.MALFORMED, f"it is no JWT: {error}") from error


def either(key: ProviderKey) -> str:
    """Return the algorithms of a key, for people."""
    return " or ".join(key.algorithms)


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
    if not allowed or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None
    algorithms = _declared(jwk, allowed)
    try:
        key = jwt.PyJWK(jwk, algorithm=allowed[0]).key
    except (jwt.PyJWTError, ValueError, KeyError, TypeError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        return None
    return ProviderKey(algorithms, key, _id_of(algorithms, key)) if algorithms else None


def _declared(jwk: Mapping[str, Any], allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the algorithms of a key; none if it declares one that its type does not have."""
    declared = jwk.get("alg")
    if declared is None:
        return allowed
    if declared in _ED25519 and declared in allowed:
        return allowed
    return (declared,) if declared in allowed else ()


def _id_of(algorithms: tuple[str, ...], key: Any) -> str:
    """Return an id of the key itself, because a provider may use a removed key's key id for the next one."""
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return f"{','.join(algorithms)}:{digest.hexdigest()}"


def header_of(token: str) -> Mapping[str, Any]:
    """Return the token's header, which nothing vouches for. Raises BadToken if it is no JWT."""
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, RecursionError) as error:
        raise BadToken(RefusalReason.MALFORMED, f"it is no JWT: {error}") from error


def kid_of(token: str) -> str | None:
    """Return the id of the key that the token names. Raises BadToken if it is no JWT."""
    kid = header_of(token).get("kid")
    return kid if isinstance(kid, str) else None


def algorithm_of(token: str) -> str:
    """Return the algorithm that the token names, for people."""
    return shown(header_of(token).get("alg"))
