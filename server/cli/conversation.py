"""The state of a chat, without I/O: activities become numbered entries, and typed lines become intents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from buzz_client import Activity, Party
from server.cli import chat_devices
from server.config.plain_text import one_line, several_lines

HELP = (
    """\
  some text          send it
  /react N EMOJI     react to message N, for instance: /react 3 👍
  /read [N]          mark messages as read up to number N, or all of them
  /help              show this help
  /quit              leave (also Ctrl-C or Ctrl-D)
  //text             send a message that begins with a slash
"""
    + chat_devices.HELP
    + """
At a terminal, Alt-Enter begins a new line in a message, and the arrow keys
bring back what you typed before."""
)


class Seal(Enum):
    """How a text came."""

    OPENED = "encrypted"
    PLAIN = "not encrypted"
    LOCKED = "cannot be read"


@dataclass(frozen=True, slots=True)
class ChatEntry:
    """One thing that happened. ``about`` is the number of the message that it is (``message``) or refers to."""

    kind: str  # message, reaction, read or call
    id: int
    about: int | None
    message_id: str | None
    mine: bool
    name: str
    at: datetime
    text: str
    seal: Seal


@dataclass(frozen=True, slots=True)
class Say:
    """Send this text."""

    text: str


@dataclass(frozen=True, slots=True)
class React:
    """React to the message of that number."""

    number: int
    emoji: str


@dataclass(frozen=True, slots=True)
class Read:
    """Mark the message of that number (None: the newest) as read."""

    number: int | None


@dataclass(frozen=True, slots=True)
class DeviceCommand:
    """Do something about devices, keys or the safety number."""

    command: str
    argument: str


@dataclass(frozen=True, slots=True)
class Help:
    """Show the commands, or a mistake and then the commands."""

    mistake: str | None = None


@dataclass(frozen=True, slots=True)
class Quit:
    """Leave."""


Intent = Say | React | Read | DeviceCommand | Help | Quit


def intent(line: str) -> Intent | None:
    """Return the intent of a typed line; None for an empty one."""
    text = line.strip()
    if not text:
        return None
    if text.startswith("//") or not text.startswith("/"):
        return Say(text.removeprefix("/") if text.startswith("//") else text)
    match text.split():
        case ["/react", number, emoji] if number.isdecimal():
            return React(int(number), emoji)
        case ["/read"]:
            return Read(None)
        case ["/read", number] if number.isdecimal():
            return Read(int(number))
        case ["/help"]:
            return Help()
        case ["/quit"] | ["/exit"]:
            return Quit()
        case [command, *_] if command in chat_devices.NAMES:
            return DeviceCommand(command, text.removeprefix(command).strip())
    return Help(f"unknown command: {text}")


class Transcript:
    """The activities between two parties, as one of them sees them."""

    def __init__(self, me: Party, to: Party) -> None:
        self.me = me
        self.to = to
        self.newest_id = 0
        self.to_name = str(to)
        self._numbers: dict[str, int] = {}
        self._incoming: list[int] = []

    def take(self, activity: Activity) -> ChatEntry | None:
        """Return the entry for an activity; None if it belongs to another conversation, or was taken before."""
        if {activity.sender, activity.receiver} != {self.me, self.to} or activity.id <= self.newest_id:
            return None
        self.newest_id = activity.id
        mine = activity.sender == self.me
        name = activity.sender_name if not mine else "you"
        self._learn_name(activity)
        text, seal = _text(activity, mine=mine)
        return ChatEntry(
            kind=_kind(activity.type),
            id=activity.id,
            about=self._number(activity, mine),
            message_id=activity.message_id,
            mine=mine,
            name=one_line(name or str(activity.sender)),
            at=activity.created_at,
            text=several_lines(text),
            seal=seal,
        )

    def message_id(self, number: int | None) -> str | None:
        """Return the id of the message of that number; of the newest incoming one for None."""
        wanted = number if number is not None else (self._incoming[-1] if self._incoming else None)
        return next((message_id for message_id, each in self._numbers.items() if each == wanted), None)

    def _number(self, activity: Activity, mine: bool) -> int | None:
        key = activity.message_id or ""
        if activity.type == "chat_message":
            self._numbers[key] = len(self._numbers) + 1
            if not mine:
                self._incoming.append(self._numbers[key])
        return self._numbers.get(key)

    def _learn_name(self, activity: Activity) -> None:
        theirs = activity.receiver_name if activity.receiver == self.to else activity.sender_name
        self.to_name = one_line(theirs) or self.to_name


def _text(activity: Activity, *, mine: bool) -> tuple[str, Seal]:
    if activity.message is None:
        return ("" if activity.type.startswith("chat_") else _call(activity, mine=mine)), Seal.PLAIN
    if activity.text is not None:
        return activity.text, Seal.OPENED
    if activity.unopened is None or activity.unopened.reason == "not_sealed":
        return activity.message, Seal.PLAIN
    return activity.unopened.explanation, Seal.LOCKED


def _kind(activity_type: str) -> str:
    return {
        "chat_message": "message",
        "chat_reaction_emoji": "reaction",
        "chat_read_indicator": "read",
    }.get(activity_type, "call")


def _call(activity: Activity, *, mine: bool) -> str:
    # The type says which side has recorded the call; the caller is the sender in any case.
    direction, _, what = activity.type.partition("_")
    if direction in ("incoming", "outgoing"):
        direction = "outgoing" if mine else "incoming"
    words = f"{direction} {what}".replace("_", " ")
    return f"{words} ({activity.call_time_seconds} s)" if activity.call_time_seconds else words
