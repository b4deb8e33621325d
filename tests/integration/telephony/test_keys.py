"""Encryption data and public keys over HTTP, and who is told when a key changes."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from server.services.keys import CHANGES_AT_ONCE
from tests.integration.telephony.conftest import ACME, ANN, BOB, JANE, Buzz, Clock, event

ENCRYPTION, PUBLIC_KEY = "/apps/buzz/encryption", "/apps/buzz/public-key"


def key(byte: int = 1, **more: object) -> dict[str, object]:
    return {"public_key": base64.b64encode(bytes([byte]) * 32).decode(), "algorithm": "x25519", **more}


def print_of(byte: int) -> str:
    return hashlib.sha256(bytes([byte]) * 32).hexdigest()


async def message(buzz: Buzz, sender: int, receiver: int, kind: str = "person") -> None:
    activity = {
        "type": "chat_message",
        "sendable_type": "person",
        "sendable_id": sender,
        "receivable_type": kind,
        "receivable_id": receiver,
        "message": "ciphertext",
        "message_id": f"6a1f0f0e-6b1e-4a53-9d53-{sender:06}{receiver:06}",
    }
    async with buzz.client.post("/apps/buzz/activity", json=activity, headers=buzz.person(sender)) as response:
        assert response.status == 200


async def test_encryption_data(buzz: Buzz) -> None:
    assert (await buzz.get(ENCRYPTION, buzz.person(JANE)))[0] == 404
    expected = {"success": True, "data": {"hash": "h", "e2e_id": "seald-1", "updated_at": "2024-07-03T09:46:40Z"}}
    assert await buzz.put(ENCRYPTION, buzz.person(JANE), {"hash": "h", "e2e_id": "seald-1"}) == (200, expected)
    assert await buzz.get(ENCRYPTION, buzz.person(JANE)) == (200, expected)
    assert (await buzz.get(ENCRYPTION, buzz.person(BOB)))[0] == 404


async def test_the_answers_fields_come_in_the_order_that_is_documented(buzz: Buzz) -> None:
    _, stored = await buzz.put(ENCRYPTION, buzz.person(JANE), {"hash": "h", "e2e_id": "seald-1"})
    assert (list(stored), list(stored["data"])) == (["success", "data"], ["hash", "e2e_id", "updated_at"])
    _, published = await buzz.put(PUBLIC_KEY, buzz.person(JANE), key())
    assert list(published) == ["success", "data"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        (b"{}", "application/json", 400, "Missing required parameter: 'hash'"),
        (b'{"hash": 1, "e2e_id": "x"}', "application/json", 400, "Invalid parameter: 'hash'"),
        (b'{"hash": "x"}', "application/json", 400, "Missing required parameter: 'e2e_id'"),
        (b'{"hash": "x", "e2e_id": "y", "z": 1}', "application/json", 400, "Unknown parameter: 'z'"),
        (b"[]", "application/json", 400, "JSON object"),
        (b"", "application/json", 400, "not valid JSON"),
        (b'{"hash": "\xff", "e2e_id": "y"}', "application/json", 400, ""),
        (b'{"hash": "\\ud800", "e2e_id": "y"}', "application/json", 400, ""),
        (b"hash=x", "application/x-www-form-urlencoded", 415, ""),
    ],
)
async def test_encryption_faults(buzz: Buzz, body: bytes, content_type: str, status: int, message: str) -> None:
    headers = {**buzz.person(JANE), "Content-Type": content_type}
    async with buzz.client.put(ENCRYPTION, data=body, headers=headers) as response:
        answer = await response.json()
        assert response.status == status
        if status == 400:
            assert answer["error"] is True
            assert message in answer["message"]
    assert (await buzz.get(ENCRYPTION, buzz.person(JANE)))[0] == 404


async def test_a_public_key_is_published_and_read(buzz: Buzz) -> None:
    shown = {
        **key(device_id="phone"),
        "fingerprint": print_of(1),
        "updated_at": "2024-07-03T09:46:40Z",
        "revoked_at": None,
        "statement": None,
    }
    status, answer = await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(device_id="phone"))
    assert (status, answer) == (200, {"success": True, "data": shown})
    assert await buzz.get(f"{PUBLIC_KEY}/{JANE}", buzz.person(ANN)) == (200, [shown])


@pytest.mark.parametrize("wrong", ["a\x1b[2J", "a\n", "\x7f", "a\x9b", "a\u2028b", "a\u202eb", "\u2066a"])
async def test_a_device_id_that_would_steer_a_terminal_is_refused(buzz: Buzz, wrong: str) -> None:
    status, answer = await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(device_id=wrong))
    assert status == 400
    assert "Invalid parameter: 'device_id': should have no control characters" in str(answer)


async def test_a_replaced_key_stays_readable(buzz: Buzz, clock: Clock) -> None:
    await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(1))
    clock.ms += 5_000
    await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(2))
    _, found = await buzz.get(f"{PUBLIC_KEY}/{JANE}", buzz.person(BOB))
    assert [(each["fingerprint"], each["revoked_at"]) for each in found] == [
        (print_of(2), None),
        (print_of(1), "2024-07-03T09:46:45Z"),
    ]


async def test_whose_keys_can_be_read(buzz: Buzz) -> None:
    assert await buzz.get(f"{PUBLIC_KEY}/{BOB}", buzz.person(JANE)) == (200, [])
    assert (await buzz.get(f"{PUBLIC_KEY}/99999", buzz.person(JANE)))[0] == 404
    for text in ("0", "-1", "x", "1.5", "9223372036854775808", "٣"):
        status, answer = await buzz.get(f"{PUBLIC_KEY}/{text}", buzz.person(JANE))
        assert (status, answer["error"]["code"]) == (400, "400"), text


async def test_those_who_have_talked_with_the_person_are_told(buzz: Buzz) -> None:
    await message(buzz, BOB, JANE)
    async with buzz.live(BOB) as bob, buzz.live(JANE) as jane, buzz.live(ANN) as ann:
        await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(1))
        await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(1))  # nothing changed: nobody is told
        await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(2))
        for socket in (bob, jane):
            told: list[Any] = [await event(socket), await event(socket)]
            assert [name for name, _ in told] == ["key.changed", "key.changed"]
            assert told[0][1] == {
                "person_id": JANE,
                "algorithm": "x25519",
                "device_id": None,
                "fingerprint": print_of(1),
                "updated_at": "2024-07-03T09:46:40Z",
                "previous_fingerprint": None,
            }
            assert told[1][1]["previous_fingerprint"] == print_of(1)
        await ann.send_json({"type": "ping"})
        assert (await ann.receive_json(timeout=5))["type"] == "pong"


async def test_members_of_a_company_that_was_talked_with_are_told(buzz: Buzz) -> None:
    await message(buzz, ANN, ACME, "company")
    async with buzz.live(BOB) as member:
        await buzz.put(PUBLIC_KEY, buzz.person(ANN), key(3))
        assert (await event(member))[1]["person_id"] == ANN


async def test_public_key_faults(buzz: Buzz) -> None:
    faults: list[tuple[object, str]] = [
        ({"algorithm": "x25519"}, "Missing required parameter: 'public_key'"),
        (
            {"public_key": "AAAA", "algorithm": "x25519"},
            "Invalid parameter: 'public_key': should be base64 of 32 bytes",
        ),
        ({**key(), "algorithm": "rot13"}, "Invalid parameter: 'algorithm'"),
        ({**key(), "private_key": "x"}, "Unknown parameter: 'private_key'"),
        ([], "JSON object"),
    ]
    for body, text in faults:
        status, answer = await buzz.put(PUBLIC_KEY, buzz.person(JANE), body)
        assert (status, answer["error"]) == (400, True)
        assert text in answer["message"]
    assert await buzz.get(f"{PUBLIC_KEY}/{JANE}", buzz.person(JANE)) == (200, [])


async def test_too_many_devices(buzz: Buzz) -> None:
    for number in range(64):
        assert (await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(device_id=f"{number}")))[0] == 200
    status, answer = await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(device_id="one more"))
    assert (status, answer["error"]["code"]) == (409, "409")


async def test_keys_are_not_changed_without_end(buzz: Buzz) -> None:
    """Everybody whom a person has talked with is told of each change."""
    for number in range(CHANGES_AT_ONCE // 2):
        assert (await buzz.put(PUBLIC_KEY, buzz.person(JANE), key()))[0] == 200
        assert (await buzz.put(ENCRYPTION, buzz.person(JANE), {"hash": "h", "e2e_id": f"{number}"}))[0] == 200
    for path, body in ((PUBLIC_KEY, key()), (ENCRYPTION, {"hash": "h", "e2e_id": "e"})):
        status, answer = await buzz.put(path, buzz.person(JANE), body)
        assert (status, answer["error"]["code"]) == (429, "429")
    assert (await buzz.put(PUBLIC_KEY, buzz.person(BOB), key()))[0] == 200


async def test_without_a_persons_token(buzz: Buzz) -> None:
    for path in (ENCRYPTION, f"{PUBLIC_KEY}/{JANE}"):
        assert (await buzz.get(path, {}))[0] == 401
        assert (await buzz.get(path, buzz.service))[0] == 403
    for path in (ENCRYPTION, PUBLIC_KEY):
        assert (await buzz.put(path, {}, {}))[0] == 401


async def test_clear_takes_the_encryption_data_and_leaves_the_keys(buzz: Buzz) -> None:
    await buzz.put(ENCRYPTION, buzz.person(JANE), {"hash": "h", "e2e_id": "e"})
    await buzz.put(PUBLIC_KEY, buzz.person(JANE), key())
    async with buzz.client.delete("/apps/buzz/clear", headers=buzz.person(JANE)) as response:
        assert response.status == 204
    assert (await buzz.get(ENCRYPTION, buzz.person(JANE)))[0] == 404
    assert len((await buzz.get(f"{PUBLIC_KEY}/{JANE}", buzz.person(JANE)))[1]) == 1


async def heartbeat(buzz: Buzz, person: int) -> Any:
    return (await buzz.get("/apps/buzz/heartbeat", buzz.person(person)))[1]["last_key_update"]


async def test_the_heartbeat_says_when_a_key_changed_that_concerns_the_person(buzz: Buzz, clock: Clock) -> None:
    await message(buzz, BOB, JANE)
    assert [await heartbeat(buzz, person) for person in (JANE, BOB, ANN)] == [None] * 3
    await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(1))
    at = "2024-07-03T09:46:40Z"
    assert [await heartbeat(buzz, person) for person in (JANE, BOB, ANN)] == [at, at, None]
    clock.ms += 5_000
    await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(1))
    assert await heartbeat(buzz, BOB) == at, "the same key again is no change"


async def test_members_of_a_company_hear_of_the_keys_of_those_who_wrote_to_it(buzz: Buzz) -> None:
    await message(buzz, ANN, ACME, "company")
    await buzz.put(PUBLIC_KEY, buzz.person(ANN), key(1))
    assert await heartbeat(buzz, JANE) == "2024-07-03T09:46:40Z"
    status, found = await buzz.get(PUBLIC_KEY, buzz.person(JANE), since="2024-07-03T09:46:40Z")
    assert (status, [(each["person_id"], each["fingerprint"]) for each in found]) == (200, [(ANN, print_of(1))])


async def test_a_device_that_was_away_reads_the_keys_that_changed(buzz: Buzz, clock: Clock) -> None:
    await message(buzz, BOB, JANE)
    await buzz.put(PUBLIC_KEY, buzz.person(BOB), key(1))
    await buzz.put(PUBLIC_KEY, buzz.person(ANN), key(9))  # she has talked with nobody
    clock.ms += 5_000
    await buzz.put(PUBLIC_KEY, buzz.person(BOB), key(2))
    await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(3))
    _, found = await buzz.get(PUBLIC_KEY, buzz.person(JANE))
    assert sorted((each["person_id"], each["fingerprint"], each["revoked_at"]) for each in found) == sorted(
        [
            (BOB, print_of(1), "2024-07-03T09:46:45Z"),
            (BOB, print_of(2), None),
            (JANE, print_of(3), None),
        ]
    )
    _, later = await buzz.get(PUBLIC_KEY, buzz.person(JANE), since="2024-07-03T09:46:46Z")
    assert later == []
    status, refused = await buzz.get(PUBLIC_KEY, buzz.person(JANE), since="yesterday")
    assert (status, "'since'" in refused["error"]["message"]) == (400, True)


async def test_changed_keys_come_in_pages(buzz: Buzz, clock: Clock) -> None:
    for number in range(1, 6):
        clock.ms += 1_000 * (number % 2)  # two of a moment are told apart
        await buzz.put(PUBLIC_KEY, buzz.person(JANE), key(number, device_id=f"device {number}"))
    seen, path = [], f"{PUBLIC_KEY}?limit=2"
    while path:
        async with buzz.client.get(path, headers=buzz.person(JANE)) as response:
            seen += [each["device_id"] for each in await response.json()]
            following = response.links.get("next")
            path = str(following["url"].relative()) if following else ""
    assert sorted(seen) == [f"device {number}" for number in range(1, 6)]
    assert set(seen[:2]) == {"device 1", "device 2"}, "the oldest change first"
