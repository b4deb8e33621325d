"""Why a text could not be sealed. Each is a `BuzzError`."""

from __future__ import annotations

from buzz_client.errors import BuzzError


class SealingRefused(BuzzError):
    """The text was not sealed, and nothing was sent."""


class TooManyDevices(SealingRefused):
    """The conversation has more devices than one message can reach."""

    def __init__(self, devices: int, most: int) -> None:
        super().__init__(
            f"{devices} devices would have to get the key of this message, and a message can carry it to {most}; "
            "remove devices that are no longer used, or write to fewer people"
        )
        self.devices = devices
        self.most = most


class TextTooLong(SealingRefused):
    """The sealed message would be longer than the server takes."""

    def __init__(self, characters: int, most: int, devices: int) -> None:
        keys = f"; {devices} devices get the conversation's key with it, send a shorter text first" if devices else ""
        super().__init__(f"the sealed message would have {characters} characters, and {most} are allowed{keys}")
        self.characters = characters
        self.most = most


class NoReaders(SealingRefused):
    """No device of the receiver may get the message: none is known, or none was accepted."""


class KeysInUse(BuzzError):
    """Another program uses this device's keys."""


class LinkRefused(BuzzError):
    """A device could not be linked. The text says why."""


class KeysChanged(SealingRefused):
    """A person has a new device that nobody vouches for: nothing is sealed for them before the user has looked at it.

    ``devices``: the device ids and tags.
    """

    def __init__(self, person_id: int, devices: tuple[tuple[str, bytes], ...]) -> None:
        names = ", ".join(name for name, _ in devices)
        super().__init__(
            f"the keys of person {person_id} have changed: look at the new device ({names}), then accept or refuse it"
        )
        self.person_id = person_id
        self.devices = devices
