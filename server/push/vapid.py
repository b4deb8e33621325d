"""Voluntary application server identification (RFC 8292): this server's key, and the token that goes with a push."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from server.auth.signing_keys import encode_segment

TOKEN_SECONDS: Final = 12 * 3_600
"""How long a token is valid. RFC 8292 allows 24 hours; clocks differ."""
_SIGNED_ANEW_SECONDS: Final = 3_600
_REMEMBERED: Final = 10_000


class PushKeyError(Exception):
    """A key or credential for push can't be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class VapidKey:
    """This server's key pair. ``public_key``: the point in base64url, as browsers want it."""

    private: ec.EllipticCurvePrivateKey
    public_key: str


def load_ec_key(path: Path, what: str) -> ec.EllipticCurvePrivateKey:
    """Read a private key on P-256 from a PEM file. Raises PushKeyError."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise PushKeyError(f"The {what} {path} can't be read: {error.strerror}.") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PushKeyError(f"The {what} {path} is not a private key in PEM without a password.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise PushKeyError(f"The {what} {path} should be a key on P-256 (prime256v1).")
    return key


def load_vapid(path: Path, *, create: bool) -> VapidKey:
    """Load the VAPID key; ``create``: make it if there is none. Raises PushKeyError."""
    if create and not path.exists():
        _create(path)
    private = load_ec_key(path, "VAPID key")
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return VapidKey(private, encode_segment(point))


def _create(path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except FileExistsError:
        pass  # another node has made it
    except OSError as error:
        raise PushKeyError(f"The VAPID key {path} can't be made: {error.strerror}.") from error


class Vapid:
    """Signs tokens, one for each push service and hour. ``subject``: whom its operator can write to."""

    def __init__(self, key: VapidKey, subject: str, now_ms: Callable[[], int]) -> None:
        self._key = key
        self._subject = subject
        self._now_ms = now_ms
        self._signed: dict[str, tuple[int, str]] = {}

    @property
    def public_key(self) -> str:
        """The public key in base64url."""
        return self._key.public_key

    def authorization(self, audience: str) -> str:
        """Return the Authorization header for a push service's origin, such as ``https://push.example``."""
        now = self._now_ms() // 1_000
        signed_at, token = self._signed.get(audience, (0, ""))
        if not 0 <= now - signed_at < _SIGNED_ANEW_SECONDS:
            claims = {"aud": audience, "exp": now + TOKEN_SECONDS, "sub": self._subject}
            token = jwt.encode(claims, self._key.private, algorithm="ES256")
            while len(self._signed) >= _REMEMBERED:
                del self._signed[next(iter(self._signed))]
            self._signed[audience] = (now, token)
        return f"vapid t={token}, k={self._key.public_key}"
