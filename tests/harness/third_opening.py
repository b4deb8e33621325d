"""Opens sealed messages by docs/encryption.md alone: it shares no code with the client, and puts HPKE together itself.

Only the single functions come from libraries: ML-KEM-768, X25519, Ed25519, AES-GCM, SHA-2, SHA-3 and HMAC.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

State = tuple[bytes, bytes, int]
"""A chain: id, key, counter."""
_SUITE = b"HPKE" + bytes.fromhex("647a00010002")


class NotOpened(Exception):
    """The message does not open."""


def framed(*fields: bytes | str | int) -> bytes:
    parts = [
        field if isinstance(field, bytes) else field.encode() if isinstance(field, str) else field.to_bytes(8)
        for field in fields
    ]
    return b"".join(len(part).to_bytes(4) + part for part in parts)


def hkdf(key: bytes, info: bytes, length: int, salt: bytes = b"") -> bytes:
    """RFC 5869."""
    return _expand(hmac.digest(salt or bytes(32), key, "sha256"), info, length)


def _expand(secret: bytes, info: bytes, length: int) -> bytes:
    done = last = b""
    for number in range(1, 256):
        last = hmac.digest(secret, last + info + bytes([number]), "sha256")
        done += last
        if len(done) >= length:
            return done[:length]
    raise AssertionError("too long")


def hpke_open(seed: bytes, sealed: bytes, info: bytes) -> bytes:
    """RFC 9180 in base mode, with X-Wing as the KEM (draft-connolly-cfrg-xwing-kem, section 5.5)."""
    secrets = hashlib.shake_256(seed).digest(96)
    lattice = MLKEM768PrivateKey.from_seed_bytes(secrets[:64])
    curve = X25519PrivateKey.from_private_bytes(secrets[64:])
    encapsulated, ciphertext = sealed[:1120], sealed[1120:]
    theirs = encapsulated[1088:]
    shared = hashlib.sha3_256(
        lattice.decapsulate(encapsulated[:1088])
        + curve.exchange(X25519PublicKey.from_public_bytes(theirs))
        + theirs
        + curve.public_key().public_bytes_raw()
        + bytes.fromhex("5c2e2f2f5e5c")
    ).digest()

    def extract(salt: bytes, label: bytes, key: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + _SUITE + label + key, "sha256")

    def expand(secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
        return _expand(secret, length.to_bytes(2) + b"HPKE-v1" + _SUITE + label + context, length)

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    key, nonce = expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, ciphertext, b"")


def open_message(
    message: str, place: dict[str, str], identity: bytes, state: State | None, tag: bytes, seed: bytes
) -> tuple[str, State]:
    """Return the text and the chain's next state. Raises NotOpened if the device has no key for it."""
    fields: dict[str, Any] = msgpack.unpackb(base64.b64decode(message, validate=True))
    assert fields["v"] == 1
    s, c, n = fields["s"], fields["c"], fields["n"]
    position = (place["sender"], place["receiver"], place["type"], place["message_id"], s, c, n)
    keys = framed(*(part for entry in fields.get("k", ()) for part in (entry["d"], entry["e"])))
    signed = framed("buzz message v1", *position, keys, fields["b"])
    Ed25519PublicKey.from_public_bytes(identity).verify(fields["g"], signed)
    if state is None or state[0] != c:
        sealed = [entry["e"] for entry in fields.get("k", ()) if entry["d"] == tag]
        if not sealed:
            raise NotOpened
        info = framed("buzz chain v1", place["sender"], place["receiver"], s, c, n, tag)
        state = (c, hpke_open(seed, sealed[0], info), n)
    key = state[1]
    for _ in range(n - state[2]):
        key = hkdf(key, b"buzz next chain key v1", 32)
    bound = framed("buzz text v1", *position)
    material = hkdf(key, b"buzz message key v1" + bound, 44)
    plaintext = AESGCM(material[:32]).decrypt(material[32:], fields["b"], bound)
    assert len(plaintext) in (1 << power for power in range(6, 17))
    packed = plaintext.rstrip(b"\0")
    assert packed[-1:] == b"\x80"
    return msgpack.unpackb(packed[:-1])["t"], (c, hkdf(key, b"buzz next chain key v1", 32), n + 1)
