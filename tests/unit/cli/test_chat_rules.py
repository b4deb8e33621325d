"""The pure rules of `run.py chat`: what lines mean, what is shown, what is encrypted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buzz_client import Activity, Party
from server.cli.conversation import (
    ChatEntry,
    Help,
    Intent,
    Quit,
    React,
    Read,
    Say,
    Transcript,
    intent,
)
from server.cli.screen import entry_text
from server.cli.sealing import Envelope, Seal, Sealer

JANE, BOB, ACME = Party("person", 7), Party("person", 8), Party("company", 3)
ENVELOPE = Envelope("chat_message", "person:7", "person:8", "m1")


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
        ("", None),
        ("   ", None),
    ],
)
def test_what_lines_mean(line: str, meaning: Intent | None) -> None:
    assert intent(line) == meaning


@pytest.mark.parametrize("line", ["/react", "/react x 👍", "/react 1", "/read x", "/dance", "/react ² 👍 x"])
def test_what_is_not_understood_is_said_so(line: str) -> None:
    assert intent(line) == Help(f"unknown command: {line}")


@given(st.text())
def test_what_is_sealed_can_be_opened_by_the_other_side(text: str) -> None:
    sealed = SEALERS[0].seal(text, ENVELOPE)
    assert SEALERS[1].open(sealed, ENVELOPE) == (text, Seal.OPENED)


SEALERS = (Sealer("secret", "person:7", "person:8"), Sealer("secret", "person:8", "person:7"))


@pytest.mark.parametrize(
    "other",
    [
        Envelope("chat_reaction_emoji", "person:7", "person:8", "m1"),
        Envelope("chat_message", "person:8", "person:7", "m1"),
        Envelope("chat_message", "person:7", "person:8", "m2"),
    ],
)
def test_a_ciphertext_cannot_be_passed_off_as_another(other: Envelope) -> None:
    sealed = SEALERS[0].seal("yes", ENVELOPE)
    assert SEALERS[1].open(sealed, other) == ("", Seal.LOCKED)


def test_other_passphrases_other_people_and_none_open_nothing() -> None:
    sealed = SEALERS[0].seal("yes", ENVELOPE)
    assert "yes" not in sealed
    others = [("Secret", "person:7", "person:8"), ("secret", "person:7", "person:9"), (None, "", "")]
    for other in others:
        assert Sealer(*other).open(sealed, ENVELOPE) == ("", Seal.LOCKED)
    assert SEALERS[0].seal("yes", ENVELOPE) != sealed


@pytest.mark.parametrize("message", ["buzz-demo-1:", "buzz-demo-1:!!!", "buzz-demo-1:AAAA", "buzz-demo-1:é"])
def test_damaged_ciphertext_is_locked(message: str) -> None:
    assert SEALERS[0].open(message, ENVELOPE) == ("", Seal.LOCKED)


def test_without_a_passphrase_text_passes_as_it_is() -> None:
    assert Sealer(None, "", "").seal("hi", ENVELOPE) == "hi"
    assert SEALERS[0].open("hi", ENVELOPE) == ("hi", Seal.PLAIN)


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
    return Transcript(JANE, BOB, Sealer(None, "", ""))


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


def test_calls_are_shown() -> None:
    call = activity(1, "incoming_call_connected_secure", message=None, message_id=None, call_time=63)
    assert shown(conversation().take(call)) == "☎ incoming call connected secure (63 s)"


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
