"""Parties and activities, as a client reads them from the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from buzz_client.errors import UnreadableAnswer

PartyKind = Literal["person", "company"]

# Answers about the log have the long names, everything else the short ones; both are accepted.
_KINDS: Mapping[str, PartyKind] = {
    "person": "person",
    "AppModelsPerson": "person",
    "company": "company",
    "AppModelsCompany": "company",
}


@dataclass(frozen=True, slots=True)
class Party:
    """A person or a company, who can send and receive."""

    kind: PartyKind
    id: int

    @classmethod
    def parse(cls, text: str) -> Party:
        """Read ``person:7`` or ``company:123``.

        Raises ValueError if the text is neither.
        """
        kind, _, digits = text.partition(":")
        if kind not in ("person", "company") or not (digits.isascii() and digits.isdigit()):
            raise ValueError(f"{text!r} is not a party: use person:ID or company:ID")
        return cls(_KINDS[kind], int(digits))

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    def as_wire(self) -> dict[str, Any]:
        """Return the map for frames such as ``typing``."""
        return {"type": self.kind, "id": self.id}


@dataclass(frozen=True, slots=True)
class Unopened:
    """Why this device can't read a text: ``reason`` for programs, ``explanation`` for people."""

    reason: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Activity:
    """One entry of the log, as one of its parties sees it.

    ``message`` is the sender's ciphertext, which only the parties can read. If the client has an ``encryption``,
    ``text`` is what it says, or ``unopened`` why this device can't read it. ``raw`` is the map as it arrived, with any
    fields that a newer server added.
    """

    id: int
    type: str
    sender: Party
    receiver: Party
    sender_name: str
    receiver_name: str
    created_at: datetime
    message: str | None
    message_id: str | None
    call_time_seconds: int | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    text: str | None = None
    unopened: Unopened | None = None

    @classmethod
    def from_wire(cls, raw: Mapping[str, Any]) -> Activity:
        """Read one activity from ``GET activity/<id>`` or an ``activities`` frame.

        Raises UnreadableAnswer if a required field is missing or has another type.
        """
        try:
            return cls(
                id=int(raw["id"]),
                type=str(raw["type"]),
                sender=Party(_KINDS[raw["sendable_type"]], int(raw["sendable_id"])),
                receiver=Party(_KINDS[raw["receivable_type"]], int(raw["receivable_id"])),
                sender_name=display_name(raw.get("sendable")),
                receiver_name=display_name(raw.get("receivable")),
                created_at=datetime.fromisoformat(raw["created_at"]),
                message=raw.get("message"),
                message_id=raw.get("message_id"),
                call_time_seconds=raw.get("call_time"),
                raw=raw,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnreadableAnswer(
                f"an activity from the server cannot be read ({error!r}); is it a Buzz server?"
            ) from error


def display_name(entry: Mapping[str, Any] | None) -> str:
    """Return the name of a person (first, middle, last) or a company for display; empty if there is none."""
    if not entry:
        return ""
    if entry.get("name"):
        return str(entry["name"])
    parts = (entry.get("first_name"), entry.get("middle_name"), entry.get("last_name"))
    return " ".join(part for part in parts if part)
