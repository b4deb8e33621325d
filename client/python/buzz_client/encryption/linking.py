"""Linking a further device by a code of six digits, which the server can neither know before nor choose.

The new device publishes a commitment to a nonce; the old one answers with a nonce of its own; then the new one shows
its nonce. The code depends on both nonces and both identities. Who swaps an identity has to fix all of this before
they know the code, so they succeed once in a million attempts, and each attempt needs a person who types a code.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from buzz_client.encryption.encoding import BadForm, framed, from_base64, to_base64
from buzz_client.encryption.primitives import IDENTITY_BYTES, Random
from buzz_client.encryption.statements import NONCE_BYTES

_SCANNED = "buzz-device:1:"
_SCANNED_CHARACTERS = 44


def commitment(identity: bytes, nonce: bytes) -> bytes:
    """Return what the new device publishes before it shows its nonce."""
    return hashlib.sha256(framed("buzz link commitment v1", identity, nonce)).digest()


def link_code(person_id: int, old: bytes, new: bytes, old_nonce: bytes, new_nonce: bytes) -> str:
    """Return the six digits for the identities of the old and the new device, and their nonces."""
    digest = hashlib.sha256(framed("buzz link code v1", person_id, old, new, old_nonce, new_nonce)).digest()
    return f"{int.from_bytes(digest[:8], 'big') % 1_000_000:06}"


def scanned_text(identity: bytes) -> str:
    """Return the text of the picture that the new device shows: its whole identity, so that it needs no code."""
    return _SCANNED + to_base64(identity)


def identity_of(scanned: str) -> bytes | None:
    """Return the identity in the text of a picture; None if it is another picture."""
    try:
        identity = from_base64(scanned.removeprefix(_SCANNED), _SCANNED_CHARACTERS)
    except BadForm:
        return None
    return identity if scanned.startswith(_SCANNED) and len(identity) == IDENTITY_BYTES else None


@dataclass(frozen=True, slots=True)
class NewDevice:
    """The new device's side. ``answered``: by which identity, and with which nonce; from then on there is a code."""

    person_id: int
    identity: bytes
    nonce: bytes
    answered: tuple[bytes, bytes] | None = None

    @classmethod
    def begin(cls, person_id: int, identity: bytes, random: Random) -> NewDevice:
        """Choose a nonce, for one attempt."""
        return cls(person_id, identity, random(NONCE_BYTES))

    def answer(self, old: bytes, nonce: bytes) -> NewDevice:
        """Take an old device's answer; the first one counts: a second needs a new attempt."""
        return self if self.answered else NewDevice(self.person_id, self.identity, self.nonce, (old, nonce))

    @property
    def code(self) -> str | None:
        """The code to show; None before an old device has answered."""
        if self.answered is None:
            return None
        old, old_nonce = self.answered
        return link_code(self.person_id, old, self.identity, old_nonce, self.nonce)


@dataclass(frozen=True, slots=True)
class OldDevice:
    """The old device's side. ``commitment`` is what the new device had published when this side chose its nonce."""

    person_id: int
    identity: bytes
    new: bytes
    commitment: bytes
    nonce: bytes

    def confirms(self, shown_nonce: bytes, code: str) -> bool:
        """Return whether the new device's nonce is the one it had chosen before, and the code is right."""
        if not hmac.compare_digest(commitment(self.new, shown_nonce), self.commitment):
            return False
        right = link_code(self.person_id, self.identity, self.new, self.nonce, shown_nonce)
        typed = "".join(code.split())
        return typed.isascii() and hmac.compare_digest(right, typed)
