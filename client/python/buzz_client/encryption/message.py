"""The container of a sealed message: its fields, its form on the wire, its padding, and what is signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
from buzz_client.encryption.keys import TAG_BYTES as DEVICE_TAG_BYTES
from buzz_client.encryption.primitives import ENCAPSULATED_BYTES, SIGNATURE_BYTES, TAG_BYTES
from buzz_client.encryption.reasons import Reason

VERSION = 1
MAX_MESSAGE_CHARACTERS = 65_536
MAX_DEVICES = 36
CHAIN_ID_BYTES = 8
CHAIN_KEY_BYTES = 32
MAX_COUNTER = 2**32 - 1
_SEALED_KEY_BYTES = ENCAPSULATED_BYTES + CHAIN_KEY_BYTES + TAG_BYTES
_SMALLEST_PADDED_BYTES = 64
_END_OF_TEXT = b"\x80"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message belongs: it can't be opened anywhere else. ``sender`` and ``receiver`` as in ``person:7``."""

    sender: str
    receiver: str
    type: str
    message_id: str

    @property
    def conversation(self) -> str:
        """The conversation's name, the same in both directions."""
        return " ".join(sorted((self.sender, self.receiver)))


@dataclass(frozen=True, slots=True)
class SealedKey:
    """The state of a chain, sealed for one device."""

    device: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Container:
    """A sealed message. ``keys`` is empty if every device has the chain."""

    sender_device: bytes
    chain: bytes
    counter: int
    keys: tuple[SealedKey, ...]
    ciphertext: bytes
    signature: bytes

    def encoded(self) -> str:
        """Return the text for the activity's ``message``."""
        fields: dict[str, Any] = {"v": VERSION, "s": self.sender_device, "c": self.chain, "n": self.counter}
        if self.keys:
            fields["k"] = [{"d": key.device, "e": key.sealed} for key in self.keys]
        return to_base64(pack({**fields, "b": self.ciphertext, "g": self.signature}))

    def key_for(self, device: bytes) -> bytes | None:
        """Return the chain's state as it was sealed for this device; None if it was not."""
        return next((key.sealed for key in self.keys if key.device == device), None)


def read(message: str) -> Container | Reason:
    """Return the container in an activity's ``message``, or why there is none. Takes any text."""
    try:
        fields = unpack(from_base64(message, MAX_MESSAGE_CHARACTERS))
    except BadForm:
        return Reason.NOT_SEALED
    if not isinstance(fields, dict) or type(fields.get("v")) is not int:
        return Reason.NOT_SEALED
    if fields["v"] != VERSION:
        return Reason.NEWER_VERSION if fields["v"] > VERSION else Reason.DAMAGED
    try:
        return _container(map_of(fields, {"v", "s", "c", "n", "b", "g"}, {"k"}))
    except BadForm:
        return Reason.DAMAGED


def _container(fields: dict[str, Any]) -> Container:
    ciphertext = bytes_of(fields, "b")
    if not _is_padded_length(len(ciphertext) - TAG_BYTES):
        raise BadForm("'b' is not as long as a padded text")
    return Container(
        bytes_of(fields, "s", DEVICE_TAG_BYTES),
        bytes_of(fields, "c", CHAIN_ID_BYTES),
        integer_of(fields, "n", MAX_COUNTER),
        _keys(fields["k"]) if "k" in fields else (),
        ciphertext,
        bytes_of(fields, "g", SIGNATURE_BYTES),
    )


def _keys(entries: Any) -> tuple[SealedKey, ...]:
    if not isinstance(entries, tuple) or not 1 <= len(entries) <= MAX_DEVICES:
        raise BadForm("'k' is not a list of 1 to 36 entries")
    keys = []
    for entry in entries:
        fields = map_of(entry, {"d", "e"})
        keys.append(SealedKey(bytes_of(fields, "d", DEVICE_TAG_BYTES), bytes_of(fields, "e", _SEALED_KEY_BYTES)))
    return tuple(keys)


def signed_bytes(place: Place, container: Container) -> bytes:
    """Return what ``g`` signs: the place, and every other field of the container."""
    keys = framed(*(part for key in container.keys for part in (key.device, key.sealed)))
    return framed("buzz message v1", *_position(place, container), keys, container.ciphertext)


def bound_bytes(place: Place, container: Container) -> bytes:
    """Return the associated data of ``b``."""
    return framed("buzz text v1", *_position(place, container))


def key_info(place: Place, container: Container, device: bytes) -> bytes:
    """Return HPKE's ``info`` for the chain's state that is sealed for a device."""
    chain = (container.sender_device, container.chain, container.counter)
    return framed("buzz chain v1", place.sender, place.receiver, *chain, device)


def _position(place: Place, container: Container) -> tuple[bytes | str | int, ...]:
    return (
        place.sender,
        place.receiver,
        place.type,
        place.message_id,
        container.sender_device,
        container.chain,
        container.counter,
    )


def padded(text: str) -> bytes:
    """Return the plaintext of a text: msgpack, the byte 80, and zeros up to a power of two, at least 64 bytes.

    Raises ValueError if the text is no Unicode text (it has half of a surrogate pair).
    """
    data = pack({"t": text}) + _END_OF_TEXT
    length = max(_SMALLEST_PADDED_BYTES, 1 << (len(data) - 1).bit_length())
    return data.ljust(length, b"\0")


def text_of(plaintext: bytes) -> str | None:
    """Return the text of a padded plaintext; None if it has another form. Fields besides ``t`` are ignored."""
    data = plaintext.rstrip(b"\0")
    if not _is_padded_length(len(plaintext)) or not data.endswith(_END_OF_TEXT):
        return None
    try:
        fields = unpack(data[:-1])
    except BadForm:
        return None
    text = fields.get("t") if isinstance(fields, dict) else None
    return text if isinstance(text, str) else None


def _is_padded_length(length: int) -> bool:
    return length >= _SMALLEST_PADDED_BYTES and length & (length - 1) == 0
