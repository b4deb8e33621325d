"""Statements: what a device says about a published key, so that the server can't put another key in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from buzz_client.encryption.encoding import (
    BadForm,
    bytes_of,
    framed,
    from_base64,
    integer_of,
    map_of,
    pack,
    to_base64,
    unpack,
)
from buzz_client.encryption.keys import TAG_BYTES
from buzz_client.encryption.primitives import IDENTITY_BYTES, SIGNATURE_BYTES, sign, signed_by

IDENTITY_ALGORITHM: Final = "ed25519"
SEALING_ALGORITHM: Final = "x-wing"
NEVER = 0
"""``expires_at`` of an identity: it is valid until it is revoked."""
MAX_STATEMENT_CHARACTERS = 2_048
NONCE_BYTES = 32
_VERSION = 1
_MAX_TIME = 2**53 - 1


@dataclass(frozen=True, slots=True)
class KeyText:
    """What a statement is about."""

    person_id: int
    device_id: str
    algorithm: str
    public_key: bytes

    def signed(self, expires_at: int) -> bytes:
        """Return the bytes that the device identity signs."""
        return framed("buzz key v1", self.person_id, self.device_id, self.algorithm, self.public_key, expires_at)


@dataclass(frozen=True, slots=True)
class Link:
    """A trusted device's word that another identity is a device of the same person."""

    signer: bytes
    at: int
    signature: bytes

    @classmethod
    def make(cls, about: KeyText, signer: bytes, seed: bytes, now: int) -> Link:
        """Sign the identity of another device. ``signer`` is the public key of ``seed``."""
        return cls(signer, now, sign(seed, _linked(about, signer, now)))

    def good(self, about: KeyText) -> bool:
        """Return whether the signature is the signer's, and about this key."""
        return signed_by(self.signer, self.signature, _linked(about, self.signer, self.at))


def _linked(about: KeyText, signer: bytes, at: int) -> bytes:
    return framed("buzz link v1", about.person_id, about.device_id, about.public_key, signer, at)


@dataclass(frozen=True, slots=True)
class LinkAnswer:
    """What an old device says while it links: the tag of the new device, and a nonce for the code."""

    device: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement. The last four fields are in the statements of identities only.

    ``commitment`` and ``nonce`` are from a new device that waits to be linked, ``answer`` is from the old one.
    """

    expires_at: int
    signature: bytes
    link: Link | None = None
    commitment: bytes | None = None
    nonce: bytes | None = None
    answer: LinkAnswer | None = None

    @classmethod
    def make(cls, about: KeyText, seed: bytes, expires_at: int) -> Statement:
        """Sign a key with the seed of the device identity."""
        return cls(expires_at, sign(seed, about.signed(expires_at)))

    def good(self, about: KeyText, identity: bytes, now: int) -> bool:
        """Return whether the identity signed this key, and the statement is still valid."""
        in_time = self.expires_at == NEVER or now < self.expires_at
        return in_time and signed_by(identity, self.signature, about.signed(self.expires_at))

    def encoded(self) -> str:
        """Return the text that is published with the key."""
        fields: dict[str, Any] = {"v": _VERSION, "x": self.expires_at, "g": self.signature}
        if self.link is not None:
            fields["l"] = {"s": self.link.signer, "t": self.link.at, "g": self.link.signature}
        if self.commitment is not None:
            fields["o"] = self.commitment
        if self.nonce is not None:
            fields["r"] = self.nonce
        if self.answer is not None:
            fields["q"] = {"d": self.answer.device, "r": self.answer.nonce}
        return to_base64(pack(fields))


def read_statement(text: Any) -> Statement | None:
    """Return a published statement; None for anything that is none."""
    if not isinstance(text, str):
        return None
    try:
        fields = map_of(unpack(from_base64(text, MAX_STATEMENT_CHARACTERS)), {"v", "x", "g"}, {"l", "o", "r", "q"})
        if fields["v"] != _VERSION:
            return None
        return Statement(
            integer_of(fields, "x", _MAX_TIME),
            bytes_of(fields, "g", SIGNATURE_BYTES),
            _link(fields["l"]) if "l" in fields else None,
            bytes_of(fields, "o", NONCE_BYTES) if "o" in fields else None,
            bytes_of(fields, "r", NONCE_BYTES) if "r" in fields else None,
            _answer(fields["q"]) if "q" in fields else None,
        )
    except BadForm:
        return None


def _link(value: Any) -> Link:
    fields = map_of(value, {"s", "t", "g"})
    signer, signature = bytes_of(fields, "s", IDENTITY_BYTES), bytes_of(fields, "g", SIGNATURE_BYTES)
    return Link(signer, integer_of(fields, "t", _MAX_TIME), signature)


def _answer(value: Any) -> LinkAnswer:
    fields = map_of(value, {"d", "r"})
    return LinkAnswer(bytes_of(fields, "d", TAG_BYTES), bytes_of(fields, "r", NONCE_BYTES))
