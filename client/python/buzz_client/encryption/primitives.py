"""The cryptographic functions, from the package `cryptography`: none is of our own making.

Ed25519 (RFC 8032); HPKE (RFC 9180) with the KEM X-Wing (draft-connolly-cfrg-xwing-kem, HPKE KEM id 0x647a), HKDF-SHA256
and AES-256-GCM; HKDF-SHA256 (RFC 5869); AES-256-GCM (NIST SP 800-38D).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SEED_BYTES = 32
IDENTITY_BYTES = 32
SEALING_PUBLIC_BYTES = 1_216
_MLKEM_PUBLIC_BYTES = 1_184
_MLKEM_SEED_BYTES = 64
SIGNATURE_BYTES = 64
ENCAPSULATED_BYTES = 1_120
TAG_BYTES = 16

_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

Random = Callable[[int], bytes]
"""Returns so many random bytes, as `os.urandom` does."""
SealTo = Callable[[bytes, bytes, bytes], bytes]
"""HPKE's single-shot encryption: (public key, info, plaintext) gives the encapsulated key and the ciphertext."""


def identity_public(seed: bytes) -> bytes:
    """Return the public key of an Ed25519 seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed: bytes, data: bytes) -> bytes:
    """Return the Ed25519 signature."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(data)


def signed_by(public: bytes, signature: bytes, data: bytes) -> bool:
    """Return whether this is the owner's signature of the data."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def sealing_public(seed: bytes) -> bytes:
    """Return the X-Wing public key of a 32-byte seed: ML-KEM-768's, then X25519's."""
    lattice, curve = _parts(seed)
    return lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()


def seal_to(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Encrypt for the owner of an X-Wing key. Raises ValueError if the key can't be used."""
    key = hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES]),
        X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:]),
    )
    return _SUITE.encrypt(plaintext, key, info=info)


def unseal(seed: bytes, info: bytes, sealed: bytes) -> bytes | None:
    """Decrypt what was encrypted for this seed's key; None if it was not, or is damaged."""
    try:
        return _SUITE.decrypt(sealed, hpke.MLKEM768X25519PrivateKey(*_parts(seed)), info=info)
    except (InvalidTag, ValueError):
        return None


def _parts(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED_BYTES + SEED_BYTES)
    return (
        MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES]),
        X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:]),
    )


def derive(key: bytes, info: bytes, length: int) -> bytes:
    """Return HKDF-SHA256 of the key with an empty salt, which is how WebCrypto's HKDF can do it, too."""
    return HKDF(hashes.SHA256(), length, salt=b"", info=info).derive(key)


def encrypt(key: bytes, nonce: bytes, plaintext: bytes, bound: bytes) -> bytes:
    """Return the AES-256-GCM ciphertext with its tag."""
    return AESGCM(key).encrypt(nonce, plaintext, bound)


def decrypt(key: bytes, nonce: bytes, ciphertext: bytes, bound: bytes) -> bytes | None:
    """Return the plaintext; None if the ciphertext or what it is bound to was changed."""
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, bound)
    except (InvalidTag, ValueError):
        return None
