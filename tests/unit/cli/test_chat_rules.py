"""The pure rules of `run.py chat`: what lines mean, and what is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from buzz_client import Activity, Party, Unopened
from server.cli.conversation import (
    ChatEntry,
    DeviceCommand,
    Help,
    Intent,
    Quit,
    React,
    Read,
    Say,
    Seal,
    Transcript,
    intent,
)
from server.cli.screen import entry_text

JANE, BOB, ACME = Party("person", 7), Party("person", 8), Party("company", 3)


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("hello", Say("hello")),
        ("  hello there ", Say("hello there")),
        ("//slash", Say("/slash")),
        ("/react 3 👍", React(3, "👍")),
        ("/read", Read(None)),
        ("/read 12", Read(12)),
        ("/help", Help()),
        ("/quit", Quit()),
        ("/devices", DeviceCommand("/devices", "")),
        ("/accept  tablet 2 ", DeviceCommand("/accept", "tablet 2")),
        ("", None),
        ("   ", None),
    ],
)
def test_what_lines_mean(line: str, meaning: Intent | None) -> None:
    assert intent(line) == meaning


@pytest.mark.parametrize("line", ["/react", "/react x 👍", "/react 1", "/read x", "/dance", "/react ² 👍 x"])
def test_what_is_not_understood_is_said_so(line: str) -> None:
    assert intent(line) == Help(f"unknown command: {line}")


def activity(number: int, kind: str = "chat_message", by: Party = BOB, to: Party = JANE, **fields: Any) -> Activity:
    kinds = {"person": "AppModelsPerson", "company": "AppModelsCompany"}
    names = {JANE: {"first_name": "Jane"}, BOB: {"first_name": "Bob", "last_name": "Ray"}, ACME: {"name": "Acme"}}
    return Activity.from_wire(
        {
            "id": number,
            "type": kind,
            "sendable_type": kinds[by.kind],
            "sendable_id": by.id,
            "receivable_type": kinds[to.kind],
            "receivable_id": to.id,
            "message": f"text {number}" if kind != "chat_read_indicator" else None,
            "message_id": f"m{number}",
            "created_at": "2024-07-05T12:14:45Z",
            "sendable": names[by],
            "receivable": names[to],
        }
        | fields
    )


def shown(entry: ChatEntry | None) -> str:
    assert entry is not None
    return entry_text(entry).plain[6:]  # after the local time


def conversation() -> Transcript:
    return Transcript(JANE, BOB)


def test_messages_are_numbered_and_reactions_and_marks_name_them() -> None:
    talk = conversation()
    assert shown(talk.take(activity(1))) == "[1] Bob Ray: text 1"
    assert shown(talk.take(activity(2, by=JANE, to=BOB))) == "[2] you: text 2 ✓"
    reaction = activity(3, "chat_reaction_emoji", message="👍", message_id="m2")
    assert shown(talk.take(reaction)) == "Bob Ray reacted 👍 to [2]"
    assert shown(talk.take(activity(4, "chat_read_indicator", message_id="m2"))) == "✓✓ Bob Ray read up to [2]"
    read = activity(5, "chat_read_indicator", by=JANE, to=BOB, message_id="m1")
    assert shown(talk.take(read)) == "you read up to [1]"
    old = activity(6, "chat_reaction_emoji", message="👍", message_id="before")
    assert shown(talk.take(old)) == "Bob Ray reacted 👍 to an older message"
    assert (talk.message_id(2), talk.message_id(None), talk.message_id(9)) == ("m2", "m1", None)
    assert talk.to_name == "Bob Ray"


@pytest.mark.parametrize(
    ("opened", "seal", "text"),
    [
        ({"text": "hi"}, Seal.OPENED, "hi"),
        ({}, Seal.PLAIN, "text 1"),
        ({"unopened": Unopened("not_sealed", "it is not encrypted")}, Seal.PLAIN, "text 1"),
        ({"unopened": Unopened("damaged", "it is damaged")}, Seal.LOCKED, "🔒 cannot be read: it is damaged"),
    ],
)
def test_a_text_says_how_it_came(opened: dict[str, Any], seal: Seal, text: str) -> None:
    entry = conversation().take(replace(activity(1), **opened))
    assert entry is not None
    assert entry.seal is seal
    assert shown(entry) == f"[1] Bob Ray: {text}"


def test_calls_are_shown() -> None:
    call = activity(1, "incoming_call_connected_secure", message=None, message_id=None, call_time=63)
    assert shown(conversation().take(call)) == "☎ incoming call connected secure (63 s)"


@pytest.mark.parametrize("recorded_by", ["incoming", "outgoing"])
@pytest.mark.parametrize(("caller", "called", "direction"), [(BOB, JANE, "incoming"), (JANE, BOB, "outgoing")])
def test_a_call_goes_out_from_its_caller(recorded_by: str, caller: Party, called: Party, direction: str) -> None:
    call = activity(1, f"{recorded_by}_call_missed", caller, called, message=None, message_id=None)
    assert shown(conversation().take(call)) == f"☎ {direction} call missed"


def test_only_this_conversation_and_each_activity_once() -> None:
    talk = conversation()
    assert talk.take(activity(1, by=ACME)) is None
    assert talk.take(activity(2)) is not None
    assert talk.take(activity(2)) is None


def test_nobody_else_steers_the_terminal() -> None:
    hostile = activity(1, message="\x1b]0;owned\x07\nnext", sendable={"first_name": "\x1b[31mBob\n"})
    assert shown(conversation().take(hostile)) == r"[1] \x1b[31mBob\n: \x1b]0;owned\x07" + "\n      next"
    forged = activity(2, "chat_reaction_emoji", message="👍\n12:00 [7] Bob: forged")
    assert "\n" not in shown(conversation().take(forged))
