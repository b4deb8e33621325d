"""Writes sealed-vectors.json: the keys, statements, links and messages on which all clients must agree.

`python -m client.conformance.sealed_vectors` writes the file anew. All randomness is fixed, except inside HPKE, which
chooses its own; so the values of `e` differ each time, and with them what is signed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack

from buzz_client.encryption import linking
from buzz_client.encryption.chains import Chain, SendingChain
from buzz_client.encryption.encoding import from_base64, pack, to_base64
from buzz_client.encryption.keys import DeviceKeys
from buzz_client.encryption.message import Container, Place, padded, read
from buzz_client.encryption.reasons import Reason
from buzz_client.encryption.safety import safety_number
from buzz_client.encryption.sealing import Opened, Readers, open_sealed, seal
from buzz_client.encryption.statements import IDENTITY_ALGORITHM, NEVER, SEALING_ALGORITHM, KeyText, Link, Statement

VECTORS = Path(__file__).parent / "sealed-vectors.json"
NOW = 1_767_225_600
JANE, BOB = 456, 7
MESSAGE_ID = "3f0c8a52-9a57-4f2e-9a53-0c8d2c8f6f11"
_PEOPLE = {"phone": JANE, "laptop": JANE, "bob": BOB, "tablet": BOB}


def fixed(*label: object) -> bytes:
    """Return 32 bytes that are always the same for this label."""
    return hashlib.sha256(f"buzz vectors {label}".encode()).digest()


def device(name: str) -> DeviceKeys:
    """Return the keys of a device, always the same."""
    parts = iter((fixed(name, "identity"), fixed(name, "sealing")))
    return DeviceKeys.create(_PEOPLE[name], f"{name}-1", NOW, lambda length: next(parts))


DEVICES: Mapping[str, DeviceKeys] = {name: device(name) for name in _PEOPLE}


def vectors() -> dict[str, Any]:
    """Return the whole file."""
    exchanges = list(_Exchange().messages())
    return {
        "about": "docs/encryption.md has the formats. Bytes are hexadecimal, but base64 in statements and messages.",
        "now": NOW,
        "devices": {name: _device(keys) for name, keys in DEVICES.items()},
        "statements": list(_statements()),
        "link": _link(),
        "safety_number": {
            "people": [[JANE, DEVICES["phone"].identity.hex()], [BOB, DEVICES["bob"].identity.hex()]],
            "digits": safety_number((JANE, DEVICES["phone"].identity), (BOB, DEVICES["bob"].identity)),
        },
        "padding": [{"text": text, "plaintext": padded(text).hex()} for text in ("", "hi", "x" * 58, "x" * 59, "👍")],
        "messages": exchanges,
        "refused": list(_refused(exchanges)),
    }


def _device(keys: DeviceKeys) -> dict[str, Any]:
    return {
        "person_id": keys.person_id,
        "device_id": keys.device_id,
        "identity_seed": keys.identity_seed.hex(),
        "identity": keys.identity.hex(),
        "sealing_seed": keys.sealing[0].seed.hex(),
        "sealing": keys.sealing[0].public.hex(),
        "tag": keys.tag.hex(),
    }


def _statements() -> Iterator[dict[str, Any]]:
    for name, keys in DEVICES.items():
        for algorithm, public, expires_at in (
            (IDENTITY_ALGORITHM, keys.identity, NEVER),
            (SEALING_ALGORITHM, keys.sealing[0].public, keys.sealing[0].expires_at),
        ):
            about = KeyText(keys.person_id, keys.device_id, algorithm, public)
            statement = Statement.make(about, keys.identity_seed, expires_at).encoded()
            yield {"device": name, "algorithm": algorithm, "expires_at": expires_at, "statement": statement}


def _link() -> dict[str, Any]:
    old, new = DEVICES["phone"], DEVICES["laptop"]
    old_nonce, new_nonce = fixed("old nonce"), fixed("new nonce")
    about = KeyText(JANE, new.device_id, IDENTITY_ALGORITHM, new.identity)
    link = Link.make(about, old.identity, old.identity_seed, NOW)
    return {
        "old": "phone",
        "new": "laptop",
        "old_nonce": old_nonce.hex(),
        "new_nonce": new_nonce.hex(),
        "commitment": linking.commitment(new.identity, new_nonce).hex(),
        "code": linking.link_code(JANE, old.identity, new.identity, old_nonce, new_nonce),
        "scanned": linking.scanned_text(new.identity),
        "linked_at": NOW,
        "statement": replace(Statement.make(about, new.identity_seed, NEVER), link=link).encoded(),
    }


class _Exchange:
    """Messages among the devices, in the order of the log, and what each device makes of them."""

    def __init__(self) -> None:
        self._sending: dict[str, SendingChain] = {}
        self._received: dict[tuple[str, str], Chain] = {}

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield each message with its result on each device."""
        yield self._sent("a new chain, given to two devices", "phone", "hello", {"laptop", "bob"})
        yield self._sent("an ordinary message", "phone", "Grüße 👋", {"laptop", "bob"})
        yield self._sent("a reaction", "phone", "👍", {"laptop", "bob"}, kind="chat_reaction_emoji")
        yield self._sent("an answer, in the other direction", "bob", "hi Jane", {"phone", "laptop"})
        for _ in range(3):
            self._sent("a message whose text was deleted", "phone", "gone", {"laptop", "bob"}, arrives=False)
        yield self._sent("after a gap of three", "phone", "still here", {"laptop", "bob"})
        yield self._sent("a device more gets the chain as it is now", "phone", "x" * 59, {"laptop", "bob", "tablet"})
        yield self._sent("a device less: a new chain", "phone", "only us", {"laptop", "tablet"})
        yield self._sent("the device that was removed has no key", "phone", "x" * 500, {"laptop", "tablet"})

    def _sent(
        self, about: str, by: str, text: str, to: set[str], kind: str = "chat_message", *, arrives: bool = True
    ) -> dict[str, Any]:
        keys = DEVICES[by]
        receiver = BOB if keys.person_id == JANE else JANE
        place = Place(f"person:{keys.person_id}", f"person:{receiver}", kind, MESSAGE_ID)
        tags = {DEVICES[name].tag: DEVICES[name].sealing[0].public for name in to}
        key = fixed("chain", by, about)
        current = self._sending.get(by)
        sealed = seal(
            text, place, keys, current, Readers(frozenset(tags), tags), now=NOW, random=lambda length: key[:length]
        )
        start = sealed.own or (current.chain if current else None)
        assert start is not None
        self._sending[by] = sealed.delivered
        if sealed.own is not None:
            self._received[by, by] = sealed.own
        return {
            "about": about,
            "from": by,
            "place": place_as_json(place),
            "text": text,
            "chain": {"id": start.id.hex(), "key": start.key.hex(), "counter": start.counter},
            "message": sealed.message,
            "results": {name: self._opened(name, by, place, sealed.message) for name in DEVICES} if arrives else {},
        }

    def _opened(self, name: str, by: str, place: Place, message: str) -> dict[str, str]:
        container, keys = read(message), DEVICES[name]
        assert isinstance(container, Container)
        known = self._received.get((name, by))
        opened = open_sealed(container, place, DEVICES[by].identity, known, keys.tag, [keys.sealing[0].seed])
        if isinstance(opened, Opened):
            self._received[name, by] = opened.chain
            return {"text": opened.text}
        return {"reason": opened.value}


def place_as_json(place: Place) -> dict[str, str]:
    """Return the fields of a place."""
    return {
        "sender": place.sender,
        "receiver": place.receiver,
        "type": place.type,
        "message_id": place.message_id,
    }


def _refused(messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield changed messages that bob, who has no chain yet, must refuse, and why."""
    first = messages[0]
    message, place = first["message"], first["place"]
    raw = from_base64(message, len(message))
    fields = msgpack.unpackb(raw)

    def changed(**changes: Any) -> str:
        return to_base64(pack({**fields, **changes}))

    def one(about: str, reason: Reason, text: str, **moved: str) -> dict[str, Any]:
        return {"about": about, "from": "phone", "place": {**place, **moved}, "message": text, "reason": reason.value}

    other_id = "11111111-9a57-4f2e-9a53-0c8d2c8f6f11"
    flipped = bytes([fields["b"][0] ^ 1]) + fields["b"][1:]
    yield one("from another sender", Reason.BAD_SIGNATURE, message, sender="person:8")
    yield one("for another receiver", Reason.BAD_SIGNATURE, message, receiver="person:8")
    yield one("as another type", Reason.BAD_SIGNATURE, message, type="chat_reaction_emoji")
    yield one("with another message_id", Reason.BAD_SIGNATURE, message, message_id=other_id)
    yield one("another ciphertext", Reason.BAD_SIGNATURE, changed(b=flipped))
    yield one("another counter", Reason.BAD_SIGNATURE, changed(n=1))
    yield one("without the keys", Reason.BAD_SIGNATURE, to_base64(pack({k: v for k, v in fields.items() if k != "k"})))
    yield one("another version", Reason.NEWER_VERSION, changed(v=2))
    yield one("a field that does not exist", Reason.DAMAGED, changed(z=1))
    yield one("a short signature", Reason.DAMAGED, changed(g=fields["g"][:63]))
    yield one("a ciphertext that is not padded", Reason.DAMAGED, changed(b=fields["b"] + b"\0"))
    yield one("a negative counter", Reason.DAMAGED, changed(n=-1))
    yield one("a counter that is a fraction", Reason.DAMAGED, changed(n=0.5))
    yield one("a sender device that is text", Reason.DAMAGED, changed(s="phone"))
    yield one("an empty list of keys", Reason.DAMAGED, changed(k=[]))
    yield one("37 keys", Reason.NOT_SEALED, changed(k=[{"d": b"", "e": b""}] * 37))
    yield one("cut off", Reason.NOT_SEALED, to_base64(raw[:-1]))
    yield one("one byte more", Reason.NOT_SEALED, to_base64(raw + b"\0"))
    yield one("a field twice", Reason.NOT_SEALED, to_base64(b"\x88" + raw[1:] + b"\xa1n\x00"))
    yield one("not base64", Reason.NOT_SEALED, "hello!")
    yield one("base64 in the form for URLs", Reason.NOT_SEALED, "_" + message[1:])
    yield one("empty", Reason.NOT_SEALED, "")
    yield one("a list", Reason.NOT_SEALED, to_base64(pack([1, 2, 3])))


def main() -> None:
    """Write the file."""
    VECTORS.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
