"""What a chat keeps on this machine, in one file: its keys, its position in the log, and the texts it has opened."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from buzz_client import Activity, Position, Unopened
from buzz_client.encryption import FileKeys, Reason, SealedMessages, default_path
from buzz_client.encryption.message import read

_DEVICE, _POSITION, _TEXT = "chat/device", "chat/position", "chat/text/"


class ChatKeys:
    """One person's chat on this machine. A cursor store of `BuzzClient` as well.

    A sealed message can be opened once only, so its text is kept here. Raises KeysInUse if another chat uses the file.
    """

    def __init__(self, path: Path) -> None:
        self._store = FileKeys(path)
        self.path = path
        self.sealed = SealedMessages(self._store)
        if self._store.get(_DEVICE) is None:
            self._store.write({_DEVICE: f"terminal-{secrets.token_hex(4)}"})

    @property
    def device_id(self) -> str:
        """The name by which the server knows this chat."""
        return str(self._store.get(_DEVICE))

    def load(self) -> Position | None:
        """Return the stored position."""
        row = self._store.get(_POSITION)
        return None if row is None else Position(**row)

    def save(self, position: Position) -> None:
        """Store this position."""
        row = {"epoch": position.epoch, "last_activity_id": position.last_activity_id, "person_id": position.person_id}
        self._store.write({_POSITION: row}, durable=False)

    def keep(self, activity: Activity) -> None:
        """Keep the text of an activity that was opened."""
        if activity.text is not None:
            self._store.write({f"{_TEXT}{activity.id}": activity.text}, durable=False)

    def text_of(self, activity_id: int) -> str | None:
        """Return the text of an activity that was opened before."""
        text = self._store.get(f"{_TEXT}{activity_id}")
        return None if text is None else str(text)

    def why_not(self, activity: Activity) -> Unopened:
        """Return why there is no text of an earlier activity: it came before these keys, or is not encrypted."""
        reason = read(activity.message or "")
        if not isinstance(reason, Reason):
            reason = Reason.NOT_FOR_THIS_DEVICE
        return Unopened(reason.value, reason.explanation)

    def close(self) -> None:
        """Close the file."""
        self._store.close()


def usual_path(url: str, person_id: int) -> Path:
    """Return the file for a person's chats with the server at this address."""
    server = re.sub(r"[^A-Za-z0-9.]+", "-", url.split("://")[-1]).strip("-")
    return default_path(f"chat-{server}-person-{person_id}")
