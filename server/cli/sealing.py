"""Encryption for the demo chat: one passphrase that both sides know, nothing more.

A real app exchanges keys for each device and lets people compare fingerprints; this only shows that the server works
with ciphertext. The key is scrypt(passphrase, salt = the two parties), the cipher AES-256-GCM with a random nonce. The
activity's type, its parties and the message's id are authenticated with it, so that the server cannot replace one
ciphertext by another. There is no forward secrecy.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from enum import Enum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

_PREFIX = "buzz-demo-1:"
_NONCE_BYTES = 12
# 32 MiB and about a tenth of a second a guess: the parameters RFC 7914 and OWASP give for interactive use.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**15, 8, 1


class Seal(Enum):
    """The result of decrypting a message."""

    OPENED = "encrypted"
    PLAIN = "not encrypted"
    LOCKED = "cannot be decrypted"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The data that a ciphertext is bound to, besides its key."""

    type: str
    sender: str
    receiver: str
    message_id: str

    def as_bytes(self) -> bytes:
        """Return the additional authenticated data; none of the fields can contain a line feed."""
        return "\n".join((self.type, self.sender, self.receiver, self.message_id)).encode()


class Sealer:
    """Encrypts and decrypts the messages between two parties. Without a passphrase they stay unchanged."""

    def __init__(self, passphrase: str | None, one: str, other: str) -> None:
        self._cipher = AESGCM(_key(passphrase, one, other)) if passphrase else None

    @property
    def encrypts(self) -> bool:
        """Whether there is a passphrase."""
        return self._cipher is not None

    def seal(self, text: str, envelope: Envelope) -> str:
        """Encrypt a text for the server."""
        if self._cipher is None:
            return text
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), envelope.as_bytes())
        return _PREFIX + base64.b64encode(sealed).decode()

    def open(self, message: str, envelope: Envelope) -> tuple[str, Seal]:
        """Return the text of a message from the server and whether it was encrypted; empty if it can't be decrypted."""
        if not message.startswith(_PREFIX):
            return message, Seal.PLAIN
        try:
            sealed = base64.b64decode(message.removeprefix(_PREFIX), validate=True)
            if self._cipher is None:
                return "", Seal.LOCKED
            nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, ciphertext, envelope.as_bytes()).decode(), Seal.OPENED
        except (ValueError, InvalidTag):
            return "", Seal.LOCKED


def _key(passphrase: str, one: str, other: str) -> bytes:
    salt = "|".join(("buzz demo chat", *sorted((one, other)))).encode()
    return Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P).derive(passphrase.encode())
