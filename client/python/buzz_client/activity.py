"""What a client reads from the log: parties and activities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from buzz_client.errors import UnreadableAnswer

PartyKind = Literal["person", "company"]

# Answers about the log carry the long names, everything else the short ones; both are read.
_KINDS: Mapping[str, PartyKind] = {
    "person": "person",
    "AppModelsPerson": "person",
    "company": "company",
    "AppModelsCompany": "company",
}


@dataclass(frozen=True, slots=True)
class Party:
    """Someone who can send or receive: a person or a company."""

    kind: PartyKind
    id: int

    @classmethod
    def parse(cls, text: str) -> Party:
        """Read ``person:7`` or ``company:123``.

        Raises:
            ValueError: when the text is neither.
        """
        kind, _, digits = text.partition(":")
        if kind not in ("person", "company") or not (digits.isascii() and digits.isdigit()):
            raise ValueError(f"{text!r} is not a party: use person:ID or company:ID")
        return cls(_KINDS[kind], int(digits))

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    def as_wire(self) -> dict[str, Any]:
        """The map that frames such as ``typing`` carry."""
        return {"type": self.kind, "id": self.id}


@dataclass(frozen=True, slots=True)
class Activity:
    """One entry of the log, as a party to it sees it.

    ``message`` is what the sender put in: ciphertext that only the parties can read. ``raw`` is the map as it came,
    with whatever a newer server may have added.
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

    @classmethod
    def from_wire(cls, raw: Mapping[str, Any]) -> Activity:
        """Read one activity as ``GET activity/<id>`` and the ``activities`` frame carry it.

        Raises:
            UnreadableAnswer: when something every activity has is missing or of another kind.
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
    """The name to show for a person (first, middle, last) or a company; empty when there is none."""
    if not entry:
        return ""
    if entry.get("name"):
        return str(entry["name"])
    parts = (entry.get("first_name"), entry.get("middle_name"), entry.get("last_name"))
    return " ".join(part for part in parts if part)
