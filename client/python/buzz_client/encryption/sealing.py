"""Seals a text into a message, and opens a message: values to values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from buzz_client.encryption.chains import Chain, SendingChain, new_chain
from buzz_client.encryption.errors import TextTooLong, TooManyDevices
from buzz_client.encryption.keys import DeviceKeys
from buzz_client.encryption.message import (
    CHAIN_KEY_BYTES,
    MAX_DEVICES,
    MAX_MESSAGE_CHARACTERS,
    Container,
    Place,
    SealedKey,
    bound_bytes,
    key_info,
    padded,
    signed_bytes,
    text_of,
)
from buzz_client.encryption.primitives import Random, SealTo, decrypt, encrypt, seal_to, sign, signed_by, unseal
from buzz_client.encryption.reasons import Reason


@dataclass(frozen=True, slots=True)
class Readers:
    """The devices that should read a message, other than the one that sends it.

    ``members``: their tags. ``sealing``: the sealing keys of those for which something can be sealed now.
    """

    members: frozenset[bytes]
    sealing: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed message, and the sender's chain after it.

    ``chain`` must be stored before the message is sent, so that no key is used twice. ``introduces``: the devices that
    get the chain with this message; they have it when the message is stored by the server. ``own``: the state that
    opens the message on the device that sent it, when it comes back through the log, if the chain is new.
    """

    message: str
    chain: SendingChain
    introduces: frozenset[bytes]
    own: Chain | None

    @property
    def delivered(self) -> SendingChain:
        """The sender's chain once the server has stored the message."""
        return replace(self.chain, introduced=self.chain.introduced | self.introduces)


def seal(
    text: str,
    place: Place,
    keys: DeviceKeys,
    current: SendingChain | None,
    readers: Readers,
    *,
    now: int,
    random: Random,
    seal_for: SealTo = seal_to,
) -> Sealed:
    """Seal a text. ``current`` is this device's chain in the conversation, if it has one.

    Raises TooManyDevices if the chain must be given to more than 36 devices, TextTooLong if the message would be longer
    than the server takes, and ValueError for a text that is not Unicode.
    """
    fresh = current is None or current.ended(readers.members, now)
    sending = new_chain(current, now, random) if current is None or fresh else current
    missing = {tag: key for tag, key in sorted(readers.sealing.items()) if tag not in sending.introduced}
    if len(missing) > MAX_DEVICES:
        raise TooManyDevices(len(missing), MAX_DEVICES)
    container = Container(keys.tag, sending.chain.id, sending.chain.counter, (), b"", b"")
    container = replace(container, keys=_sealed_keys(place, container, sending.chain, missing, seal_for))
    container = replace(container, ciphertext=_ciphertext(text, place, container, sending.chain))
    signature = sign(keys.identity_seed, signed_bytes(place, container))
    message = replace(container, signature=signature).encoded()
    if len(message) > MAX_MESSAGE_CHARACTERS:
        raise TextTooLong(len(message), MAX_MESSAGE_CHARACTERS, len(missing))
    advanced = replace(sending, chain=sending.chain.next())
    return Sealed(message, advanced, frozenset(missing), sending.chain if fresh else None)


def _sealed_keys(
    place: Place, container: Container, chain: Chain, devices: Mapping[bytes, bytes], seal_for: SealTo
) -> tuple[SealedKey, ...]:
    return tuple(
        SealedKey(tag, seal_for(public, key_info(place, container, tag), chain.key)) for tag, public in devices.items()
    )


def _ciphertext(text: str, place: Place, container: Container, chain: Chain) -> bytes:
    bound = bound_bytes(place, container)
    key = chain.message_key(bound)
    return encrypt(key.key, key.nonce, padded(text), bound)


@dataclass(frozen=True, slots=True)
class Opened:
    """The text of a message, and the sender's chain after it, which replaces the one before."""

    text: str
    chain: Chain


def open_sealed(
    container: Container, place: Place, identity: bytes, known: Chain | None, tag: bytes, seeds: Collection[bytes]
) -> Opened | Reason:
    """Open a message, or return why it can't be opened; then nothing that the device has stored changes.

    ``identity``: the public key of the device that the message names as its sender. ``known``: that device's chain in
    this conversation. ``tag`` and ``seeds``: this device's name, and the seeds of its sealing keys.
    """
    if not signed_by(identity, container.signature, signed_bytes(place, container)):
        return Reason.BAD_SIGNATURE
    start = _chain_of(container, place, known, tag, seeds)
    chain = start.at(container.counter) if isinstance(start, Chain) else start
    if isinstance(chain, Reason):
        return chain
    bound = bound_bytes(place, container)
    key = chain.message_key(bound)
    plaintext = decrypt(key.key, key.nonce, container.ciphertext, bound)
    text = text_of(plaintext) if plaintext is not None else None
    return Reason.DAMAGED if text is None else Opened(text, chain.next())


def chain_before(
    container: Container, place: Place, identity: bytes, known: Chain | None, tag: bytes, seeds: Collection[bytes]
) -> Chain | None:
    """Return the chain's state with which a message opens, if the message brings it; None if it does not open."""
    if known is not None and known.id == container.chain:
        return None
    start = _chain_of(container, place, known, tag, seeds)
    opens = isinstance(open_sealed(container, place, identity, known, tag, seeds), Opened)
    return start if opens and isinstance(start, Chain) else None


def _chain_of(
    container: Container, place: Place, known: Chain | None, tag: bytes, seeds: Collection[bytes]
) -> Chain | Reason:
    if known is not None and container.chain == known.id:
        return known
    if known is not None and container.chain < known.id:
        return Reason.REPEATED
    sealed = container.key_for(tag)
    if sealed is None:
        return Reason.NOT_FOR_THIS_DEVICE
    info = key_info(place, container, tag)
    for seed in seeds:
        key = unseal(seed, info, sealed)
        if key is not None and len(key) == CHAIN_KEY_BYTES:
            return Chain(container.chain, key, container.counter)
    return Reason.KEY_GONE
