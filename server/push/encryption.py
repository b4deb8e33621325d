"""Message encryption for Web Push (RFC 8291): the content coding aes128gcm (RFC 8188) in one record.

It is forty lines on `cryptography`; docs/decisions says why no library for it is used.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_RECORD_BYTES: Final = 4_096
_LAST_RECORD: Final = b"\x02"
"""The delimiter after the text of the last record (RFC 8188, section 2)."""


def encrypt(
    text: bytes,
    p256dh: bytes,
    auth: bytes,
    *,
    sender: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """Return the body of a push message for a subscription's keys.

    ``sender`` and ``salt`` are new for each message; tests give those of the RFC.
    """
    sender = sender or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(16)
    receiver = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)
    ours = sender.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    secret = sender.exchange(ec.ECDH(), receiver)
    combined = _hkdf(auth, secret, b"WebPush: info\x00" + p256dh + ours, 32)
    key = _hkdf(salt, combined, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _hkdf(salt, combined, b"Content-Encoding: nonce\x00", 12)
    header = salt + _RECORD_BYTES.to_bytes(4, "big") + len(ours).to_bytes(1, "big") + ours
    return header + AESGCM(key).encrypt(nonce, text + _LAST_RECORD, None)


def _hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)
