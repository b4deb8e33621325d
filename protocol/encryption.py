"""The data that Buzz stores for end-to-end encryption: the provider's ids, and people's public keys.

The server has no secret and can check none. It checks that a key's *form* fits its algorithm, so that a client's
mistake is found when the key is published, and not when a message can't be decrypted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mlkem, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import AfterValidator, StringConstraints, TypeAdapter, model_validator

from protocol.validation import Strict, without_controls

MAX_DATA_CHARACTERS: Final = 512
MAX_DEVICE_ID_CHARACTERS: Final = 64
MAX_STATEMENT_CHARACTERS: Final = 2_048
MAX_PUBLIC_KEY_CHARACTERS: Final = 2_048
"""Base64 of the largest key taken (RSA with 8192 bits, about 1,050 bytes of DER) and room to spare."""


def key_bytes(public_key: str) -> bytes:
    """Decode a key from standard base64 with padding. Raises ValueError for anything else."""
    try:
        return base64.b64decode(public_key, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _base64(text: str) -> str:
    try:
        key_bytes(text)
    except ValueError as error:
        raise ValueError("should be base64 with padding") from error
    return text


# PostgreSQL can't store NUL, and an id with other control characters is a client's mistake.
_NO_CONTROL: Final = r"^[^\x00-\x1f\x7f]+$"
Data = Annotated[str, StringConstraints(min_length=1, max_length=MAX_DATA_CHARACTERS, pattern=_NO_CONTROL)]
DeviceId = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_DEVICE_ID_CHARACTERS), AfterValidator(without_controls)
]
KeyText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PUBLIC_KEY_CHARACTERS)]
Statement = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_STATEMENT_CHARACTERS), AfterValidator(_base64)
]


class EncryptionData(Strict):
    """``PUT encryption``: the hash for this person across devices, and their id with the encryption provider."""

    hash: Data
    """The hash for this person across devices."""
    e2e_id: Data
    """Their id with the encryption provider."""


class KeyAlgorithm(StrEnum):
    """The algorithms whose public keys Buzz accepts and checks."""

    X25519 = "x25519"
    X448 = "x448"
    ED25519 = "ed25519"
    ED448 = "ed448"
    P256 = "p256"
    P384 = "p384"
    P521 = "p521"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    X_WING = "x-wing"


class NewPublicKey(Strict):
    """``PUT public-key``: one public key of the caller's, for one device or (without ``device_id``) for all."""

    public_key: KeyText
    """The key in base64, in the form of its algorithm."""
    algorithm: KeyAlgorithm
    """The key's algorithm."""
    device_id: DeviceId | None = None
    """The device that it is for; without it, for all of the person's devices."""
    statement: Statement | None = None
    """Base64 of what the device says about the key; Buzz gives it back with the key and does not read it."""

    @model_validator(mode="after")
    def _key_has_the_form_of_its_algorithm(self) -> Self:
        try:
            _CHECKS[self.algorithm](key_bytes(self.public_key))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ValueError(f"Invalid parameter: 'public_key': should be {_EXPECTED[self.algorithm]}") from error
        return self


@dataclass(frozen=True, slots=True)
class EncryptionAnswer:
    """A person's encryption data as it is returned."""

    hash: str
    """The hash for this person across devices."""
    e2e_id: str
    """Their id with the encryption provider."""
    updated_at: str


@dataclass(frozen=True, slots=True)
class PublicKeyAnswer:
    """One public key, which everybody may read. ``revoked_at`` null: in force. ``device_id`` null: for all devices."""

    public_key: str
    """The key in base64."""
    algorithm: str
    """The key's algorithm."""
    device_id: str | None
    """The device that it is for; null: all of the person's devices."""
    fingerprint: str
    """SHA-256 of the key's bytes, in hex: people compare it by voice."""
    updated_at: str
    revoked_at: str | None
    """When it was revoked; null: it is in force."""
    statement: str | None = None
    """What was published with the key, in base64; null: nothing."""


@dataclass(frozen=True, slots=True)
class ChangedKeyAnswer:
    """A public key that was added or revoked, and the person who has it."""

    person_id: int
    public_key: str
    """The key in base64."""
    algorithm: str
    """The key's algorithm."""
    device_id: str | None
    """The device that it is for; null: all of the person's devices."""
    fingerprint: str
    """SHA-256 of the key's bytes, in hex: people compare it by voice."""
    updated_at: str
    revoked_at: str | None
    """When it was revoked; null: it is in force."""
    statement: str | None = None
    """What was published with the key, in base64; null: nothing."""


ENCRYPTION_DATA: Final[TypeAdapter[EncryptionData]] = TypeAdapter(EncryptionData)
NEW_PUBLIC_KEY: Final[TypeAdapter[NewPublicKey]] = TypeAdapter(NewPublicKey)


def fingerprint(public_key: str) -> str:
    """Return SHA-256 of the key's bytes (not of their base64), in hex, which two people compare by voice."""
    return hashlib.sha256(key_bytes(public_key)).hexdigest()


def _raw(load: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        load(data)

    return check


def _point(curve: ec.EllipticCurve) -> Callable[[bytes], None]:
    """Return the check of a curve's keys: a point (SEC 1, section 2.3.3) or SubjectPublicKeyInfo."""

    def check(data: bytes) -> None:
        if data[:1] in (b"\x02", b"\x03", b"\x04"):
            ec.EllipticCurvePublicKey.from_encoded_point(curve, data)
            return
        loaded = load_der_public_key(data)
        if not isinstance(loaded, ec.EllipticCurvePublicKey) or loaded.curve.name != curve.name:
            raise ValueError("another curve")

    return check


def _x_wing(data: bytes) -> None:
    """Check an X-Wing key: an ML-KEM-768 key of 1,184 bytes, then an X25519 key (draft-connolly-cfrg-xwing-kem)."""
    mlkem.MLKEM768PublicKey.from_public_bytes(data[:-32])
    x25519.X25519PublicKey.from_public_bytes(data[-32:])


def _rsa(bits: int) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        loaded = load_der_public_key(data)
        if not isinstance(loaded, rsa.RSAPublicKey) or loaded.key_size != bits:
            raise ValueError("another key size")

    return check


_CHECKS: Final[dict[KeyAlgorithm, Callable[[bytes], None]]] = {
    KeyAlgorithm.X25519: _raw(x25519.X25519PublicKey.from_public_bytes),
    KeyAlgorithm.X448: _raw(x448.X448PublicKey.from_public_bytes),
    KeyAlgorithm.ED25519: _raw(ed25519.Ed25519PublicKey.from_public_bytes),
    KeyAlgorithm.ED448: _raw(ed448.Ed448PublicKey.from_public_bytes),
    KeyAlgorithm.P256: _point(ec.SECP256R1()),
    KeyAlgorithm.P384: _point(ec.SECP384R1()),
    KeyAlgorithm.P521: _point(ec.SECP521R1()),
    KeyAlgorithm.RSA_2048: _rsa(2048),
    KeyAlgorithm.RSA_3072: _rsa(3072),
    KeyAlgorithm.RSA_4096: _rsa(4096),
    KeyAlgorithm.X_WING: _x_wing,
}

_EXPECTED: Final[dict[KeyAlgorithm, str]] = {
    KeyAlgorithm.X25519: "base64 of 32 bytes",
    KeyAlgorithm.X448: "base64 of 56 bytes",
    KeyAlgorithm.ED25519: "base64 of 32 bytes",
    KeyAlgorithm.ED448: "base64 of 57 bytes",
    KeyAlgorithm.P256: "base64 of a point on P-256 (65 or 33 bytes) or of its DER form",
    KeyAlgorithm.P384: "base64 of a point on P-384 (97 or 49 bytes) or of its DER form",
    KeyAlgorithm.P521: "base64 of a point on P-521 (133 or 67 bytes) or of its DER form",
    KeyAlgorithm.RSA_2048: "base64 of a 2048 bit key in DER (SubjectPublicKeyInfo)",
    KeyAlgorithm.RSA_3072: "base64 of a 3072 bit key in DER (SubjectPublicKeyInfo)",
    KeyAlgorithm.RSA_4096: "base64 of a 4096 bit key in DER (SubjectPublicKeyInfo)",
    KeyAlgorithm.X_WING: "base64 of 1,216 bytes: an ML-KEM-768 key, then an X25519 key",
}
