"""Opens what arrives, in the order of the log.

The chain's next state and the opened text are stored in one step. The text stays until the app has handled the
activity: after a crash it is given again, although its key is deleted.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from buzz_client.activity import Activity, Unopened
from buzz_client.encryption import records
from buzz_client.encryption.chains import Chain
from buzz_client.encryption.key_store import KeyStore
from buzz_client.encryption.message import Container, Place, read, signed_bytes
from buzz_client.encryption.outgoing import OWN_CHAIN
from buzz_client.encryption.own_device import OwnDevice
from buzz_client.encryption.people import People
from buzz_client.encryption.reasons import Reason
from buzz_client.encryption.sealing import chain_before, open_sealed
from buzz_client.encryption.trust import KnownDevice, Standing

_RECEIVING = "receiving/"
_OPENED = "opened/"


class Incoming:
    """What arrives at a device."""

    def __init__(self, store: KeyStore, own: OwnDevice, people: People) -> None:
        self._store = store
        self._own = own
        self._people = people
        self._kept = {name: int(row["id"]) for name, row in store.under(_OPENED).items()}

    async def open(self, activity: Activity) -> str | Reason:
        """Return an activity's text, or why it can't be read.

        Raises HttpError, aiohttp.ClientError or TimeoutError if the sender's keys are needed and can't be fetched now.
        """
        container = read(activity.message or "")
        if isinstance(container, Reason):
            return container
        place = _place_of(activity)
        name = _OPENED + hashlib.sha256(signed_bytes(place, container) + container.signature).hexdigest()
        before = self._store.get(name)
        # Under another id it is a repetition, which the chain refuses.
        if before is not None and before["id"] == activity.id:
            return str(before["text"])
        sender = await self._people.sender(activity, container.sender_device)
        doubt = _doubt(sender, activity)
        if sender is None or doubt is not None:
            if sender is not None and sender.standing is Standing.WAITING:
                self._keep_chain(place, container, sender.identity)
            return doubt or Reason.UNKNOWN_DEVICE
        return self._open(activity, place, container, sender.identity, name)

    def handled(self, activity_id: int) -> None:
        """Delete the texts of activities up to this one: the app has them."""
        old = [name for name, id in self._kept.items() if id <= activity_id]
        if old:
            self._store.write(dict.fromkeys(old), durable=False)
        for name in old:
            self._kept.pop(name, None)

    def _keep_chain(self, place: Place, container: Container, identity: bytes) -> None:
        """Keep the chain of a device that may be accepted or linked later, for this message and those after it.

        The device believes that this one has the chain, and does not give it again.
        """
        name = _chain_name(place, container)
        known = records.chain_of(self._store.get(name))
        chain = chain_before(container, place, identity, known, self._own.keys.tag, self._own.seeds)
        if chain is not None:
            self._store.write({name: records.chain_row(chain)}, durable=False)

    def _open(self, activity: Activity, place: Place, container: Container, identity: bytes, name: str) -> str | Reason:
        chain_name = _chain_name(place, container)
        own_name = f"{OWN_CHAIN}{place.conversation}/{container.chain.hex()}"
        mine = container.sender_device == self._own.keys.tag
        first = records.chain_of(self._store.get(own_name)) if mine else None
        known = _later(records.chain_of(self._store.get(chain_name)), first)
        opened = open_sealed(container, place, identity, known, self._own.keys.tag, self._own.seeds)
        if isinstance(opened, Reason):
            return opened
        changes = {
            chain_name: records.chain_row(opened.chain),
            name: {"id": activity.id, "text": opened.text},
            **({own_name: None} if first is not None else {}),
        }
        self._store.write(changes, durable=False)
        self._kept[name] = activity.id
        return opened.text


def _place_of(activity: Activity) -> Place:
    return Place(str(activity.sender), str(activity.receiver), activity.type, activity.message_id or "")


def _chain_name(place: Place, container: Container) -> str:
    return f"{_RECEIVING}{place.conversation}/{container.sender_device.hex()}"


def _doubt(device: KnownDevice | None, activity: Activity) -> Reason | None:
    """Return why nothing of this device is opened; None if there is no reason."""
    if device is None:
        return Reason.UNKNOWN_DEVICE
    if device.standing is not Standing.TRUSTED:
        return Reason.UNTRUSTED_DEVICE
    return None if device.may_have_sent(int(activity.created_at.timestamp())) else Reason.REMOVED_DEVICE


def _later(known: Chain | None, own: Chain | None) -> Chain | None:
    """Return the state to open with: that of a new chain of this device, or the one that was used last."""
    return own if own is not None and (known is None or known.id != own.id) else known


def readable(activity: Activity, result: str | Reason) -> Activity:
    """Return the activity with its text, or with why it has none."""
    if isinstance(result, Reason):
        return replace(activity, text=None, unopened=Unopened(result.value, result.explanation))
    # It may be one that could not be opened before.
    return replace(activity, text=result, unopened=None)
