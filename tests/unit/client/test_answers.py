"""The clients' types of the HTTP answers have exactly the keys that the server sends."""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, get_origin

import msgspec
import pytest

from buzz_client import answers
from protocol import answers as sent
from protocol.attestation import CallSettingsAnswer
from protocol.call import BlockedCallAnswer, CallEntry, CallerAnswer, ReasonAnswer
from protocol.encryption import ChangedKeyAnswer, EncryptionAnswer, KeyAlgorithm, PublicKeyAnswer
from protocol.heartbeat import Heartbeat, Number
from protocol.names import CompanyName, PersonName
from protocol.privacy_view import CallView, PrivacyRequestView, ServiceCodeView, WebFormView
from server.services.telephony.voice_tokens import VoiceToken

JSDOC = (Path(__file__).parents[3] / "client" / "js" / "src" / "answers.js").read_text("utf-8")
SAME = [
    (answers.Heartbeat, Heartbeat),
    (answers.Number, Number),
    (answers.BlockedCall, BlockedCallAnswer),
    (answers.CallEntry, CallEntry),
    (answers.TrustReason, ReasonAnswer),
    (answers.CallSender, CallerAnswer),
    (answers.CallSettings, CallSettingsAnswer),
    (answers.VoiceToken, VoiceToken),
    (answers.PostedActivity, sent.PostedActivity),
    (answers.ListedActivity, sent.ActivityAnswer),
    (answers.NamedPerson, PersonName),
    (answers.NamedCompany, CompanyName),
    (answers.ConversationParty, sent.ConversationParty),
    (answers.Conversation, sent.ConversationAnswer),
    (answers.Encryption, EncryptionAnswer),
    (answers.PublicKey, PublicKeyAnswer),
    (answers.Device, sent.DeviceAnswer),
    (answers.Me, sent.MeAnswer),
    (answers.CompanyMembers, sent.CompanyMembersAnswer),
    (answers.ChangedKey, ChangedKeyAnswer),
    (answers.DeviceKey, sent.DeviceKey),
    (answers.Receipts, sent.ReceiptsAnswer),
    (answers.PrivacyRequest, PrivacyRequestView),
    (answers.ServiceCode, ServiceCodeView),
    (answers.WebFormSession, WebFormView),
    (answers.CallSession, CallView),
]


JAVASCRIPT = {
    "Heartbeat": Heartbeat,
    "BlockedCall": BlockedCallAnswer,
    "CallEntry": CallEntry,
    "CallSettings": CallSettingsAnswer,
    "VoiceToken": VoiceToken,
    "ConversationParty": sent.ConversationParty,
    "Conversation": sent.ConversationAnswer,
    "PublicKey": PublicKeyAnswer,
    "Device": sent.DeviceAnswer,
    "Me": sent.MeAnswer,
}
"""The types of the JavaScript client that are written with one line for each key."""


class Key(NamedTuple):
    required: bool
    nullable: bool


def nullable(kind: Any) -> bool:
    if get_origin(kind) is NotRequired:
        kind = typing.get_args(kind)[0]
    return kind is type(None) or type(None) in typing.get_args(kind)


def keys_of_client(kind: Any) -> dict[str, Key]:
    hints = typing.get_type_hints(kind)
    return {name: Key(name in kind.__required_keys__, nullable(hints[name])) for name in hints}


def keys_of_server(kind: Any) -> dict[str, Key]:
    if issubclass(kind, msgspec.Struct):
        omits = kind.__struct_config__.omit_defaults
        return {
            field.encode_name: Key(
                field.required or not (omits or field.default is msgspec.UNSET), nullable(field.type)
            )
            for field in msgspec.structs.fields(kind)
        }
    hints = typing.get_type_hints(kind)
    return {
        field.name: Key(field.default is dataclasses.MISSING, nullable(hints[field.name]))
        for field in dataclasses.fields(kind)
    }


@pytest.mark.parametrize(("mine", "theirs"), SAME, ids=lambda kind: kind.__name__)
def test_an_answer_has_the_servers_keys(mine: Any, theirs: Any) -> None:
    assert keys_of_client(mine) == keys_of_server(theirs)


def keys_of_javascript(name: str) -> dict[str, Key]:
    """Return the keys of a type in JSDoc: brackets around a key that may be missing, `null` among its types."""
    [block] = re.findall(rf"@typedef {{object}} {name}\n(.*?)\*/", JSDOC, re.DOTALL)
    found = re.findall(r"@property \{(.*)\} (\[?)(\w+)\]?$", block, re.MULTILINE)
    return {key: Key(not bracket, kind.endswith("| null")) for kind, bracket, key in found}


@pytest.mark.parametrize("name", JAVASCRIPT)
def test_an_answer_of_the_javascript_client_has_the_servers_keys(name: str) -> None:
    assert keys_of_javascript(name) == keys_of_server(JAVASCRIPT[name])


def test_every_algorithm_of_the_server_can_be_named() -> None:
    algorithms = {each.value for each in KeyAlgorithm}
    assert set(typing.get_args(answers.KeyAlgorithm)) == algorithms
    [line] = re.findall(r"@typedef \{(.*)\} KeyAlgorithm", JSDOC)
    assert set(re.findall(r'"([\w-]+)"', line)) == algorithms
