"""Seals what is sent, when there is a connection, in the order in which the log gets it.

A reader refuses a counter from the past, so in each conversation a message is sealed only when the one before it was
answered. What was sealed is stored with the chain's next state, in one step and before it is sent: no key is used for
two texts, and after a crash the same bytes are sent again if the app sends the same activity again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from buzz_client.encrypting import Deliver
from buzz_client.encryption import records
from buzz_client.encryption.chains import SendingChain
from buzz_client.encryption.errors import NoReaders
from buzz_client.encryption.key_store import KeyStore
from buzz_client.encryption.message import Place
from buzz_client.encryption.own_device import OwnDevice
from buzz_client.encryption.patience import Patience
from buzz_client.encryption.people import People
from buzz_client.encryption.sealing import Sealed, seal
from buzz_client.errors import SendRefused
from buzz_client.outbox import Ack

_LOG = logging.getLogger("buzz_client")
SENDING = "sending/"
OWN_CHAIN = "own/"
_SENT = "sent/"
_MAX_UNANSWERED = 500


class Outgoing:
    """The sends of a device. ``current``: set while there is a connection, and this device knows who reads now."""

    def __init__(
        self,
        store: KeyStore,
        own: OwnDevice,
        people: People,
        now: Callable[[], int],
        patience: Patience,
        current: asyncio.Event,
    ) -> None:
        self._store = store
        self._own = own
        self._people = people
        self._now = now
        self._patience = patience
        self._current = current
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._forget_old()

    async def send(self, activity: Mapping[str, Any], deliver: Deliver) -> Ack:
        """Seal an activity's text and send it, after what was sent before in its conversation.

        Raises SealingRefused if it can't be sealed, and what ``deliver`` raises.
        """
        place = place_of(activity)
        # An asyncio.Lock lets its waiters in in the order in which they came.
        async with self._turns.setdefault(place.conversation, asyncio.Lock()):
            key = f"{_SENT}{activity.get('idempotency_key') or place.message_id}"
            sending = records.sending_of(self._store.get(SENDING + place.conversation))
            sent = self._again(key, sending)
            if sent is None:
                sent, sending = await self._seal(key, place, activity["message"], sending)
            try:
                ack = await deliver({**activity, "message": sent["message"]})
            except SendRefused:
                self._note({key: None})
                raise
            self._delivered(key, place, sent, sending)
            return ack

    def _again(self, key: str, sending: SendingChain | None) -> dict[str, Any] | None:
        """Return what was sealed for this activity and not answered, unless something was sealed after it.

        Otherwise it is sealed again: readers may have opened what was sealed after it. If the server has the first
        one, it keeps that.
        """
        sent: dict[str, Any] | None = self._store.get(key)
        newest = None if sending is None else [sending.chain.id, sending.chain.counter]
        return sent if sent is not None and sent["next"] == newest else None

    async def _seal(
        self, key: str, place: Place, text: str, current: SendingChain | None
    ) -> tuple[dict[str, Any], SendingChain]:
        await self._patience.until(self._current)
        readers, of_receiver = await self._patience.keep_trying(
            lambda: self._people.readers(place, first=current is None)
        )
        reached = set(readers.sealing) | (current.introduced if current else frozenset())
        if place.sender != place.receiver and not of_receiver & reached:
            raise NoReaders(f"{place.receiver} has no device that can read sealed messages, or none that was accepted")
        now, linked_at = self._now(), self._own.linked_at
        before = current.under(linked_at) if current else None
        # Sealing for many devices takes milliseconds.
        sealed = await asyncio.to_thread(seal, text, place, self._own.keys, before, readers, now=now, random=os.urandom)
        chain = replace(sealed.chain, linked_at=linked_at)
        sent = {
            "message": sealed.message,
            "introduces": sorted(sealed.introduces),
            "next": [chain.chain.id, chain.chain.counter],
            "at": now,
        }
        changes: dict[str, Any] = {key: sent, SENDING + place.conversation: records.sending_row(chain)}
        self._store.write(changes | self._to_open_it_later(place, sealed))
        return sent, chain

    def _to_open_it_later(self, place: Place, sealed: Sealed) -> dict[str, Any]:
        if sealed.own is None:
            return {}
        return {f"{OWN_CHAIN}{place.conversation}/{sealed.own.id.hex()}": records.chain_row(sealed.own)}

    def _delivered(self, key: str, place: Place, sent: Mapping[str, Any], sending: SendingChain | None) -> None:
        """Note that the server has the message, and so its readers get the chain. ``sending``: its state after that."""
        changes: dict[str, Any] = {key: None}
        if sending is not None and sent["introduces"]:
            introduced = replace(sending, introduced=sending.introduced | set(sent["introduces"]))
            changes[SENDING + place.conversation] = records.sending_row(introduced)
        self._note(changes)

    def _note(self, changes: Mapping[str, Any]) -> None:
        """Store what has become of a send. Without this the same bytes would be sent again, and stored once."""
        try:
            self._store.write(changes, durable=False)
        except OSError as error:
            _LOG.warning("cannot store what has become of a send: %s", error)

    def _forget_old(self) -> None:
        """Forget what earlier runs sealed and nobody has asked to send again."""
        unanswered = sorted(self._store.under(_SENT).items(), key=lambda row: row[1]["at"])
        old = unanswered[: max(0, len(unanswered) - _MAX_UNANSWERED)]
        if old:
            self._store.write({key: None for key, _ in old}, durable=False)


def place_of(activity: Mapping[str, Any]) -> Place:
    """Return where an activity in the fields of ``POST activity`` belongs."""
    return Place(
        f"{activity['sendable_type']}:{activity['sendable_id']}",
        f"{activity['receivable_type']}:{activity['receivable_id']}",
        str(activity["type"]),
        str(activity.get("message_id") or ""),
    )
