"""Sealed messages: sizes, chains, and what hostile bytes do: they are refused, with a reason, and change nothing."""

from __future__ import annotations

import base64
import os
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buzz_client.encryption import sealing
from buzz_client.encryption.chains import CHAIN_MESSAGES, CHAIN_SECONDS, Chain, SendingChain, new_chain
from buzz_client.encryption.errors import TextTooLong, TooManyDevices
from buzz_client.encryption.keys import DAY_SECONDS, DeviceKeys
from buzz_client.encryption.message import Container, Place, padded, read, signed_bytes, text_of
from buzz_client.encryption.primitives import sign
from buzz_client.encryption.reasons import Reason
from buzz_client.encryption.sealing import Opened, Readers, Sealed, open_sealed

NOW = 1_767_225_600
PLACE = Place("person:456", "person:7", "chat_message", "3f0c8a52-9a57-4f2e-9a53-0c8d2c8f6f11")
JANE = DeviceKeys.create(456, "3f0c8a52-9a57-4f2e-9a53-0c8d2c8f6f11", NOW, os.urandom)
BOB = DeviceKeys.create(7, "bob", NOW, os.urandom)


def readers(*devices: DeviceKeys) -> Readers:
    return Readers(frozenset(each.tag for each in devices), {each.tag: each.sealing[0].public for each in devices})


TO_BOB = readers(BOB)


def seal(text: str = "hello", current: SendingChain | None = None, to: Readers = TO_BOB, now: int = NOW) -> Sealed:
    return sealing.seal(text, PLACE, JANE, current, to, now=now, random=os.urandom)


def opened(message: str, known: Chain | None = None, keys: DeviceKeys = BOB, place: Place = PLACE) -> Opened | Reason:
    container = read(message)
    if isinstance(container, Reason):
        return container
    return open_sealed(container, place, JANE.identity, known, keys.tag, [key.seed for key in keys.sealing])


FIRST = seal()
SECOND = seal("second", FIRST.delivered)
KNOWN = opened(FIRST.message)
assert isinstance(KNOWN, Opened)
CHAIN = KNOWN.chain


# --- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("characters", range(101))
def test_an_ordinary_message_adds_at_most_200_bytes_to_its_text(characters: int) -> None:
    late = replace(FIRST.delivered, chain=replace(FIRST.delivered.chain, counter=CHAIN_MESSAGES - 1))
    message = seal("x" * characters, late).message
    raw = len(base64.b64decode(message))
    assert raw - characters <= 200
    assert len(message) == -(-raw // 3) * 4


def test_the_first_message_to_six_devices_is_below_12_kib() -> None:
    six = [DeviceKeys.create(7, f"device {number}", NOW, os.urandom) for number in range(6)]
    assert len(seal("x" * 100, to=readers(*six)).message) <= 12 * 1024


def test_36_devices_fit_and_more_are_refused_with_their_number() -> None:
    many = [replace(BOB, device_id=f"device {number}") for number in range(40)]
    message = seal("x" * 4_000, to=readers(*many[:36])).message
    assert all(isinstance(opened(message, keys=keys), Opened) for keys in many[:36])
    with pytest.raises(TooManyDevices, match=r"^37 devices .* to 36;"):
        seal(to=readers(*many[:37]))
    introduced = SendingChain(Chain(b"\0" * 8, b"k" * 32, 5), NOW, frozenset(each.tag for each in many[:36]))
    assert len(read(seal(current=introduced, to=readers(*many)).message).keys) == 4  # type: ignore[union-attr]


def test_a_text_that_is_too_long_is_refused_before_anything_is_sent() -> None:
    assert isinstance(opened(seal("x" * 32_000).message), Opened)
    with pytest.raises(TextTooLong, match="and 65536 are allowed"):
        seal("x" * 33_000)
    many = [replace(BOB, device_id=f"device {number}") for number in range(36)]
    with pytest.raises(TextTooLong, match="36 devices get the conversation's key with it"):
        seal("x" * 5_000, to=readers(*many))


@given(st.text())
def test_any_text_is_padded_to_a_power_of_two_and_comes_back(text: str) -> None:
    plaintext = padded(text)
    assert len(plaintext) >= 64
    assert len(plaintext).bit_count() == 1
    assert text_of(plaintext) == text


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        seal("\ud83d")


# --- chains ----------------------------------------------------------------------------------------------------------


def test_a_key_is_gone_once_it_was_used() -> None:
    second = opened(SECOND.message, CHAIN)
    assert isinstance(second, Opened)
    assert second.text == "second"
    assert opened(SECOND.message, second.chain) is Reason.REPEATED
    assert opened(FIRST.message, second.chain) is Reason.REPEATED


def test_an_old_chain_is_refused_even_if_it_is_given_again() -> None:
    newer = seal(current=FIRST.delivered, now=NOW + CHAIN_SECONDS)
    known = opened(newer.message, CHAIN)
    assert isinstance(known, Opened)
    assert opened(FIRST.message, known.chain) is Reason.REPEATED


@pytest.mark.parametrize(("ahead", "result"), [(2_000, "late"), (2_001, Reason.TOO_FAR_AHEAD)])
def test_a_gap_is_stepped_over_up_to_2000(ahead: int, result: str) -> None:
    sending = replace(FIRST.delivered, chain=replace(FIRST.chain.chain, counter=0))
    chain = sending.chain
    for _ in range(ahead):
        chain = chain.next()
    place = Container(JANE.tag, chain.id, chain.counter, (), b"", b"")
    bound = sealing.bound_bytes(PLACE, place)
    key = chain.message_key(bound)
    unsigned = replace(place, ciphertext=sealing.encrypt(key.key, key.nonce, padded("late"), bound))
    message = replace(unsigned, signature=sign(JANE.identity_seed, signed_bytes(PLACE, unsigned))).encoded()
    found = opened(message, sending.chain)
    assert found == result if isinstance(found, Reason) else found.text == result


@pytest.mark.parametrize(
    ("change", "fresh"),
    [
        ({}, False),
        ({"now": NOW + CHAIN_SECONDS - 1}, False),
        ({"now": NOW + CHAIN_SECONDS}, True),
        ({"now": NOW - 1}, True),
        ({"to": readers()}, True),
    ],
    ids=["no reason", "just before 7 days", "7 days", "the clock was set back", "a device less"],
)
def test_when_a_new_chain_begins(change: Any, fresh: bool) -> None:
    again = seal(current=FIRST.delivered, **change)
    assert (again.own is not None) is fresh
    assert (again.chain.chain.id > FIRST.chain.chain.id) is fresh


def test_a_new_chain_begins_after_1000_messages() -> None:
    last = replace(FIRST.delivered, chain=replace(FIRST.delivered.chain, counter=CHAIN_MESSAGES - 1))
    sealed = seal(current=last)
    assert sealed.own is None
    assert seal(current=sealed.delivered).own is not None


def test_a_device_more_gets_the_chain_as_it_is_and_not_the_past() -> None:
    tablet = DeviceKeys.create(7, "tablet", NOW, os.urandom)
    third = seal("third", SECOND.delivered, readers(BOB, tablet))
    container = read(third.message)
    assert isinstance(container, Container)
    assert [key.device for key in container.keys] == [tablet.tag]
    found = opened(third.message, keys=tablet)
    assert isinstance(found, Opened)
    assert found.text == "third"
    assert opened(SECOND.message, found.chain, keys=tablet) is Reason.REPEATED


def test_until_the_server_has_stored_it_a_chain_is_given_again() -> None:
    again = seal("again", FIRST.chain)
    assert again.introduces == FIRST.introduces
    found = opened(again.message)
    assert isinstance(found, Opened)
    assert found.text == "again"


def test_set_back_files_give_no_key_twice() -> None:
    one, other = replace(PLACE, message_id="a"), replace(PLACE, message_id="b")
    container = Container(JANE.tag, CHAIN.id, CHAIN.counter, (), b"", b"")
    keys = {CHAIN.message_key(sealing.bound_bytes(place, container)) for place in (one, other)}
    assert len(keys) == 2


def test_the_id_of_a_chain_rises_even_if_the_clock_does_not() -> None:
    first = new_chain(None, NOW, os.urandom)
    assert new_chain(first, NOW - DAY_SECONDS, os.urandom).chain.id > first.chain.id


def test_a_sealing_key_is_replaced_after_30_days_and_kept_for_30_more() -> None:
    young = BOB.rotated(NOW + 30 * DAY_SECONDS - 1, os.urandom)
    assert young == BOB
    rotated = BOB.rotated(NOW + 30 * DAY_SECONDS, os.urandom)
    assert [key.created_at for key in rotated.sealing] == [NOW + 30 * DAY_SECONDS, NOW]
    assert isinstance(opened(FIRST.message, keys=rotated), Opened)
    late = rotated.rotated(NOW + 60 * DAY_SECONDS, os.urandom)
    assert NOW not in [key.created_at for key in late.sealing]
    assert opened(FIRST.message, keys=late) is Reason.KEY_GONE


# --- hostile bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sender", "receiver", "type", "message_id"])
def test_a_message_opens_only_in_its_place(name: str) -> None:
    assert opened(FIRST.message, place=replace(PLACE, **{name: "elsewhere"})) is Reason.BAD_SIGNATURE


def test_a_message_of_another_device_is_refused() -> None:
    container = read(FIRST.message)
    assert isinstance(container, Container)
    assert open_sealed(container, PLACE, BOB.identity, None, BOB.tag, ()) is Reason.BAD_SIGNATURE


def forged(**changes: Any) -> str:
    """A message that its sender signed, but made wrongly."""
    container = read(FIRST.message)
    assert isinstance(container, Container)
    unsigned = replace(container, **changes)
    return replace(unsigned, signature=sign(JANE.identity_seed, signed_bytes(PLACE, unsigned))).encoded()


def with_key(sealed: bytes) -> str:
    container = read(FIRST.message)
    assert isinstance(container, Container)
    return forged(keys=(replace(container.keys[0], sealed=sealed),))


SEALED_KEY = read(FIRST.message).keys[0].sealed  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (forged(ciphertext=bytes(80)), Reason.DAMAGED),
        (forged(chain=b"\xff" * 8), Reason.KEY_GONE),
        (forged(counter=7), Reason.KEY_GONE),
        (with_key(SEALED_KEY[:1088] + bytes(32) + SEALED_KEY[1120:]), Reason.KEY_GONE),
        (with_key(SEALED_KEY[:1088] + b"\x01" + bytes(31) + SEALED_KEY[1120:]), Reason.KEY_GONE),
        (with_key(bytes(1_168)), Reason.KEY_GONE),
        (with_key(b"\xff" * 1_168), Reason.KEY_GONE),
    ],
    ids=["ciphertext", "chain", "counter", "low order 0", "low order 1", "zeros", "ones"],
)
def test_what_a_hostile_sender_signs_is_refused(message: str, reason: Reason) -> None:
    assert opened(message) is reason


HOSTILE = {
    "a list of 2^32 entries": b"\xdd\xff\xff\xff\xff",
    "a map of 2^32 entries": b"\xdf\xff\xff\xff\xff",
    "a text of 2^32 bytes": b"\xdb\xff\xff\xff\xff",
    "bytes of 2^32": b"\xc6\xff\xff\xff\xff",
    "an extension of 2^32": b"\xc9\xff\xff\xff\xff\x01",
    "a list in a list, 40,000 deep": b"\x91" * 40_000,
    "a map in a map, 20,000 deep": b"\x81\xa1v" * 16_000,
    "a time": b"\xd6\xff" + bytes(4),
    "10,000 keys": msgpack.packb({"v": 1, "k": [{"d": 1, "e": 1}] * 6_000}),
    "nothing": b"",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_are_refused_in_little_memory(data: bytes) -> None:
    message = base64.b64encode(data).decode()
    tracemalloc.start()
    try:
        assert isinstance(read(message), Reason)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_message_longer_than_the_server_takes_is_not_even_decoded() -> None:
    assert read("A" * 50_000_000) is Reason.NOT_SEALED


RAW = tuple(base64.b64decode(each.message) for each in (FIRST, SECOND))


@st.composite
def mutated(draw: Any) -> str:
    data = bytearray(draw(st.sampled_from(RAW)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("flip", "cut", "put", "double"))):
            case "flip" if start < len(data):
                data[start] ^= draw(st.integers(1, 255))
            case "cut":
                del data[start : start + draw(st.integers(1, 40))]
            case "put":
                data[start:start] = draw(st.binary(min_size=1, max_size=20))
            case _:
                data[start:start] = data[start : start + 40]
    return base64.b64encode(bytes(data)).decode()


def originals() -> Iterable[str]:
    return (FIRST.message, SECOND.message)


@settings(max_examples=int(os.environ.get("BUZZ_FUZZ_EXAMPLES", "300")), deadline=None)
@given(mutated(), st.sampled_from((None, CHAIN)))
def test_a_changed_message_never_opens_and_never_raises(message: str, known: Chain | None) -> None:
    if message not in originals():
        assert isinstance(opened(message, known), Reason)


FIELDS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=int(os.environ.get("BUZZ_FUZZ_EXAMPLES", "300")), deadline=None)
@given(st.dictionaries(st.sampled_from("vscnkbg"), FIELDS), st.booleans())
def test_fields_of_any_type_are_refused(changes: dict[str, Any], all_of_them: bool) -> None:
    fields = changes if all_of_them else {**msgpack.unpackb(RAW[0]), **changes}
    message = base64.b64encode(msgpack.packb(fields)).decode()
    if message not in originals():
        assert isinstance(opened(message), Reason)


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_any_other_text_is_refused(message: str) -> None:
    assert isinstance(opened(message), Reason)


def test_every_reason_has_words() -> None:
    assert all(reason.explanation for reason in Reason)
