"""Links a further device of this person: the new device's side, and that of a device that is already trusted."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from buzz_client.encryption.encoding import to_base64
from buzz_client.encryption.errors import LinkRefused
from buzz_client.encryption.linking import NewDevice, OldDevice, commitment, identity_of, scanned_text
from buzz_client.encryption.own_device import OwnDevice
from buzz_client.encryption.people import People
from buzz_client.encryption.statements import IDENTITY_ALGORITHM, NONCE_BYTES, KeyText, Link, LinkAnswer
from buzz_client.encryption.trust import KnownDevice, KnownPerson, PublishedKey, Standing
from buzz_client.http import BuzzHttp

Emit = Callable[[str, Any], None]


@dataclass(frozen=True, slots=True)
class LinkStart:
    """What the new device shows. ``picture``: a text for a picture to scan. The code comes as an event."""

    picture: str


class Linking:
    """Both sides.

    ``follow``: fetches this person's keys, calls :meth:`look` with them, and publishes what has changed.
    """

    def __init__(
        self,
        own: OwnDevice,
        people: People,
        http: BuzzHttp,
        now: Callable[[], int],
        follow: Callable[[], Awaitable[list[PublishedKey]]],
        emit: Emit,
    ) -> None:
        self._own = own
        self._people = people
        self._http = http
        self._now = now
        self._follow = follow
        self._emit = emit
        self._new: NewDevice | None = None
        self._shown = False
        self._old: OldDevice | None = None
        # An attempt is not stored: one of a program that has ended is over.
        self._take_back()

    def _take_back(self) -> None:
        """Publish nothing more of an attempt."""
        extras = {"commitment": None, "nonce": None, "answer": None}
        if any(self._own.extras[name] is not None for name in extras):
            self._own.say(**extras)

    # --- the new device --------------------------------------------------------------------------------------------

    async def start(self) -> LinkStart:
        """Ask to be linked by another device of this person. The event ``encryption.link_code`` brings the code."""
        self._new, self._shown = NewDevice.begin(self._own.keys.person_id, self._own.keys.identity, os.urandom), False
        offer = commitment(self._own.keys.identity, self._new.nonce)
        self._own.say(commitment=offer, nonce=None, answer=None)
        await self._follow()
        return LinkStart(scanned_text(self._own.keys.identity))

    async def cancel(self) -> None:
        """End the attempt, on either side."""
        if self._new is not None or self._old is not None:
            self._end("the attempt was cancelled")
        await self._follow()

    async def become_root(self) -> None:
        """Make this device its person's root. Raises LinkRefused if it is linked, or a device in use could link it."""
        keys = self._own.keys
        await self._follow()
        person = self._people.known(keys.person_id)
        if person is None or self._own.is_linked_to(person):
            raise LinkRefused("this device is linked already")
        if others := self.could_link(person):
            names = ", ".join(each.device_id for each in others)
            raise LinkRefused(f"another device of yours can link this one: {names}")
        if self._new is not None:
            self._end("this device is the first one now")
        self._people.change(keys.person_id, lambda known: known.accept(keys.tag, self._now()))
        # The safety numbers were made from the root before.
        for other in self._people.everybody():
            if other.compared:
                self._people.change(other.person_id, lambda known: replace(known, compared=False))
        await self._follow()

    def could_link(self, person: KnownPerson) -> list[KnownDevice]:
        """Return the devices of this person, other than this one, that are in use and trusted."""
        return [each for each in person.devices if each.reads and each.tag != self._own.keys.tag]

    def _end(self, why: str) -> None:
        self._new = self._old = None
        self._take_back()
        self._emit("encryption.link_ended", {"why": why})

    def look(self, published: list[PublishedKey]) -> None:
        """Go on with what this person's devices have published; what to publish next may have changed then."""
        identities = [row for row in published if row.algorithm == IDENTITY_ALGORITHM and row.revoked_at is None]
        if not self._take_link(identities) and self._new is not None:
            self._take_answer(self._new, identities)

    def _take_link(self, identities: list[PublishedKey]) -> bool:
        """Take the link that another device has published for this one. Returns whether there was one to take."""
        keys = self._own.keys
        row = _in_force(identities, keys.device_id, keys.identity)
        link = row.statement.link if row else None
        if link is None or link == self._own.extras["link"] or not link.good(self._own.about):
            return False
        person = self._people.known(keys.person_id)
        devices = person.devices if person else ()
        # The link counts if the device was in use when it made it.
        signer = next((each for each in devices if each.identity == link.signer and each.may_have_sent(link.at)), None)
        if person is None or signer is None or not self._may_link(signer):
            return False
        self._own.say(link=link, commitment=None, nonce=None, answer=None)
        if self._new is not None and signer.removed_at is None:
            self._people.trust_root(keys.person_id, _root(person, signer), signer.tag, link.at)
        self._new = None
        self._emit("encryption.linked", {"device_id": keys.device_id, "by": signer.device_id})
        return True

    def _may_link(self, signer: KnownDevice) -> bool:
        """Return whether this device takes a link of that one.

        After a code only the device that the code was made with may link it: the user has compared nothing else. After
        a picture the first one; without an attempt one that is trusted already.
        """
        if self._new is None:
            return signer.standing is Standing.TRUSTED
        return self._new.answered is None or self._new.answered[0] == signer.identity

    def _take_answer(self, new: NewDevice, identities: list[PublishedKey]) -> None:
        """Publish the nonce when an old device has answered, then show the code; end when that device has given up."""
        keys = self._own.keys
        answers = [
            (row, answer)
            for row in identities
            if (answer := row.statement.answer) and answer.device == keys.tag and row.public_key != keys.identity
        ]
        if new.answered is None:
            if answers:
                row, answer = answers[0]
                self._new = new.answer(row.public_key, answer.nonce)
                self._own.say(nonce=new.nonce)
            return
        answered = next((row for row, _ in answers if row.public_key == new.answered[0]), None)
        if answered is None:
            self._end("the other device has ended the attempt")
            return
        row_of_mine = _in_force(identities, keys.device_id, keys.identity)
        if not self._shown and row_of_mine is not None and row_of_mine.statement.nonce == new.nonce:
            self._shown = True
            self._emit("encryption.link_code", {"code": new.code, "device_id": answered.device_id})

    # --- a device that is trusted ----------------------------------------------------------------------------------

    async def offers(self) -> list[KnownDevice]:
        """Return the devices of this person that ask to be linked."""
        published = await self._people.refresh(self._own.keys.person_id)
        person = self._people.known(self._own.keys.person_id)
        asking = {row.public_key for row in published if row.revoked_at is None and row.statement.commitment}
        return [each for each in _in_use(person) if each.identity in asking and each.tag != self._own.keys.tag]

    async def answer(self, tag: bytes) -> None:
        """Answer a device that asks: it then shows the code for :meth:`confirm`. Raises LinkRefused."""
        row = await self._row_of(tag)
        if row.statement.commitment is None:
            raise LinkRefused(f"the device {row.device_id} does not ask to be linked")
        keys, nonce = self._own.keys, os.urandom(NONCE_BYTES)
        self._old = OldDevice(keys.person_id, keys.identity, row.public_key, row.statement.commitment, nonce)
        self._own.say(answer=LinkAnswer(tag, nonce))
        await self._follow()

    async def confirm(self, tag: bytes, code: str) -> None:
        """Link the device that shows this code. Raises LinkRefused; a wrong code ends the attempt on both devices."""
        row = await self._row_of(tag)
        attempt = self._old
        if attempt is None or attempt.new != row.public_key:
            raise LinkRefused("answer that device first")
        if row.statement.nonce is None:
            raise LinkRefused(f"the device {row.device_id} does not show a code yet")
        if not attempt.confirms(row.statement.nonce, code):
            self._end("the code was wrong")
            await self._follow()
            raise LinkRefused("the code is wrong: begin again on the new device")
        await self._link(row)

    async def scan(self, picture: str) -> str:
        """Link the device that shows this picture, whose text is given; return its device id. Raises LinkRefused."""
        identity = identity_of(picture.strip())
        if identity is None:
            raise LinkRefused("this is not the picture of a device")
        published = await self._people.refresh(self._own.keys.person_id)
        self._must_be_linked()
        for row in published:
            if row.algorithm == IDENTITY_ALGORITHM and row.revoked_at is None and row.public_key == identity:
                await self._link(row)
                return row.device_id
        raise LinkRefused("this device has not published its keys yet: connect it first")

    async def _link(self, row: PublishedKey) -> None:
        keys = self._own.keys
        about = KeyText(keys.person_id, row.device_id, IDENTITY_ALGORITHM, row.public_key)
        link = Link.make(about, keys.identity, keys.identity_seed, self._now())
        statement = replace(row.statement, link=link, commitment=None, nonce=None, answer=None)
        await self._http.put_public_key(
            to_base64(row.public_key), IDENTITY_ALGORITHM, row.device_id, statement.encoded()
        )
        # The answer is taken back after the link is there: without both, the new device ends the attempt.
        self._old = None
        self._take_back()
        await self._follow()

    async def _row_of(self, tag: bytes) -> PublishedKey:
        published = await self._people.refresh(self._own.keys.person_id)
        self._must_be_linked()
        person = self._people.known(self._own.keys.person_id)
        device = person.device(tag) if person else None
        row = _in_force(published, device.device_id, device.identity) if device else None
        if row is None:
            raise LinkRefused("this person has no such device")
        return row

    def _must_be_linked(self) -> None:
        if not self._own.is_linked_to(self._people.known(self._own.keys.person_id)):
            raise LinkRefused("this device is not linked itself: link it first")


def _in_use(person: KnownPerson | None) -> list[KnownDevice]:
    return [each for each in person.devices if each.removed_at is None] if person else []


def _in_force(published: list[PublishedKey], device_id: str, identity: bytes) -> PublishedKey | None:
    return next(
        (
            row
            for row in published
            if (row.algorithm, row.device_id, row.public_key, row.revoked_at)
            == (IDENTITY_ALGORITHM, device_id, identity, None)
        ),
        None,
    )


def _root(person: KnownPerson, signer: KnownDevice) -> bytes:
    """Return the person's root as the new device takes it: the known one if the signer is trusted by it."""
    return person.root if signer.reads else signer.identity
