"""Chains: the keys of one device's messages in one conversation, each derived from the one before it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from buzz_client.encryption.keys import DAY_SECONDS
from buzz_client.encryption.message import CHAIN_ID_BYTES, CHAIN_KEY_BYTES
from buzz_client.encryption.primitives import Random, derive
from buzz_client.encryption.reasons import Reason

CHAIN_SECONDS = 7 * DAY_SECONDS
CHAIN_MESSAGES = 1_000
MAX_STEPS = 2_000
_KEY_BYTES, _NONCE_BYTES = 32, 12


@dataclass(frozen=True, slots=True)
class MessageKey:
    """The key of one message."""

    key: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Chain:
    """The state of a chain: ``key`` is for the message with this ``counter``; earlier keys can't be derived from it."""

    id: bytes
    key: bytes
    counter: int

    def message_key(self, bound: bytes) -> MessageKey:
        """Return the key of the next message.

        It depends on what the message is bound to as well: a device whose files were set back to an earlier state does
        not encrypt two messages with one key.
        """
        material = derive(self.key, b"buzz message key v1" + bound, _KEY_BYTES + _NONCE_BYTES)
        return MessageKey(material[:_KEY_BYTES], material[_KEY_BYTES:])

    def next(self) -> Chain:
        """Return the chain after this message."""
        return replace(self, key=derive(self.key, b"buzz next chain key v1", CHAIN_KEY_BYTES), counter=self.counter + 1)

    def at(self, counter: int) -> Chain | Reason:
        """Return the chain at a later message, or why it can't go there."""
        if counter < self.counter:
            return Reason.REPEATED
        if counter - self.counter > MAX_STEPS:
            return Reason.TOO_FAR_AHEAD
        chain = self
        while chain.counter < counter:
            chain = chain.next()
        return chain


@dataclass(frozen=True, slots=True)
class SendingChain:
    """A device's own chain in a conversation. ``introduced``: the devices that have got it. Times are Unix seconds.

    ``linked_at``: when its device was linked, as the chain began; 0: it was not.
    """

    chain: Chain
    started_at: int
    introduced: frozenset[bytes] = frozenset()
    linked_at: int = 0

    def under(self, linked_at: int) -> SendingChain:
        """Return the chain of a device that was linked at that time: it has ended if the device was linked since.

        A device that was removed and linked again has perhaps introduced it with a message that its readers refused.
        """
        return self if self.linked_at == linked_at else replace(self, started_at=0)

    def ended(self, members: Collection[bytes], now: int) -> bool:
        """Return whether the next message needs a new chain, if these devices should be able to read it."""
        return (
            not self.introduced <= set(members)
            or self.chain.counter >= CHAIN_MESSAGES
            or not 0 <= now - self.started_at < CHAIN_SECONDS
        )


def new_chain(previous: SendingChain | None, now: int, random: Random) -> SendingChain:
    """Return a fresh chain, with an id above the previous one's: receivers refuse a chain from the past."""
    number = now * 1_000
    if previous is not None:
        number = max(number, int.from_bytes(previous.chain.id, "big") + 1)
    return SendingChain(Chain(number.to_bytes(CHAIN_ID_BYTES, "big"), random(CHAIN_KEY_BYTES), 0), now)
