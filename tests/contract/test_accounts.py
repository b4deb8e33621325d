"""Revocations and devices, on every backend."""

from __future__ import annotations

import asyncio

import pytest

from storage.accounts import (
    MAX_DEVICES,
    REVOCATIONS_KEPT_MS,
    AccountStore,
    Device,
    KnownDevice,
    ReceivedMark,
    SeenDevice,
    remove_device,
    sign_out,
)
from storage.database import Database


@pytest.fixture
def accounts(database: Database) -> AccountStore:
    return AccountStore(database)


async def test_a_revocation_is_seen_by_whoever_asks_for_newer_ones(accounts: AccountStore) -> None:
    first = await accounts.revoke(token_id="a", revoked_at_ms=10, expires_at_ms=1_000)
    second = await accounts.revoke(person_id=456, revoked_at_ms=20, expires_at_ms=2_000)
    assert await accounts.revocations_after(0, now_ms=50) == [first, second]
    assert await accounts.revocations_after(first.version, now_ms=50) == [second]
    assert await accounts.revocations_after(second.version, now_ms=50) == []


async def test_versions_are_unique_and_rise_when_many_revoke_at_once(accounts: AccountStore) -> None:
    many = await asyncio.gather(
        *(accounts.revoke(token_id=f"t{n}", revoked_at_ms=1, expires_at_ms=1_000) for n in range(50))
    )
    rows = await accounts.revocations_after(0, now_ms=2)
    assert [row.version for row in rows] == sorted({row.version for row in many})
    assert {row.token_id for row in rows} == {f"t{n}" for n in range(50)}


async def test_what_has_expired_is_not_listed_and_a_year_later_not_kept(accounts: AccountStore) -> None:
    await accounts.revoke(token_id="old", revoked_at_ms=10, expires_at_ms=100)
    kept = await accounts.revoke(token_id="new", revoked_at_ms=10, expires_at_ms=900)
    assert await accounts.revocations_after(0, now_ms=100) == [kept]
    last_ms = 100 + REVOCATIONS_KEPT_MS
    later = await accounts.revoke(token_id="later", revoked_at_ms=last_ms, expires_at_ms=2 * last_ms)
    assert len(await accounts.revocations_after(0, now_ms=0)) == 3
    latest = await accounts.revoke(token_id="latest", revoked_at_ms=last_ms + 1, expires_at_ms=2 * last_ms)
    assert await accounts.revocations_after(0, now_ms=0) == [kept, later, latest]


async def test_a_revocation_deletes_a_bounded_number_of_old_ones(accounts: AccountStore) -> None:
    for number in range(150):
        await accounts.revoke(token_id=f"t{number}", revoked_at_ms=1, expires_at_ms=1)
    left = []
    for _ in range(2):
        await accounts.revoke(person_id=7, revoked_at_ms=2 + REVOCATIONS_KEPT_MS, expires_at_ms=2**50)
        left.append(len(await accounts.revocations_after(0, now_ms=0)))
    assert left == [51, 2]


@pytest.mark.parametrize("what", [{}, {"token_id": "a", "person_id": 1}])
async def test_a_revocation_is_about_one_thing(accounts: AccountStore, what: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="either a token or a person"):
        await accounts.revoke(**what, revoked_at_ms=1, expires_at_ms=2)  # type: ignore[arg-type]


async def test_devices_only_move_forward(accounts: AccountStore) -> None:
    await accounts.save_received(
        [
            ReceivedMark(456, "phone", 10, 100, 0),
            ReceivedMark(456, "tablet", 3, 90, 0),
            ReceivedMark(7, "phone", 1, 1, 0),
        ]
    )
    await accounts.save_received([ReceivedMark(456, "phone", 8, 120, 0), ReceivedMark(456, "tablet", 5, 80, 0)])
    assert await accounts.devices(456) == [Device(456, "phone", 10, 120), Device(456, "tablet", 5, 90)]


async def test_a_person_has_so_many_devices_and_the_one_heard_longest_ago_goes(accounts: AccountStore) -> None:
    for number in range(MAX_DEVICES + 3):
        await accounts.save_received(
            [ReceivedMark(456, f"device {number}", 1, number, 0), ReceivedMark(7, "phone", 1, 1, 0)]
        )
    kept = {device.device_id for device in await accounts.devices(456)}
    assert kept == {f"device {number}" for number in range(3, MAX_DEVICES + 3)}
    await accounts.save_received(
        [ReceivedMark(456, f"many {number}", 1, 1_000, 0) for number in range(MAX_DEVICES + 1)]
    )
    assert len(await accounts.devices(456)) == MAX_DEVICES
    assert len(await accounts.devices(7)) == 1


async def test_what_some_devices_have_is_asked_at_once(accounts: AccountStore) -> None:
    devices = [ReceivedMark(person, f"device {person % 7}", person, 1, 0) for person in range(1, 1_200)]
    await accounts.save_received([*devices, ReceivedMark(5, "other", 99, 1, 0)])
    asked = [(device.person_id, device.device_id) for device in devices]
    assert await accounts.received_ids([*asked, (5, "new")]) == {
        (device.person_id, device.device_id): device.received_id for device in devices
    }
    assert await accounts.received_ids([]) == {}


async def test_a_restored_history_sets_devices_back_to_its_head(accounts: AccountStore) -> None:
    await accounts.save_received([ReceivedMark(456, "phone", 10, 100, 0), ReceivedMark(456, "tablet", 3, 90, 0)])
    assert await accounts.clamp_received(5) == 1
    assert [device.received_id for device in await accounts.devices(456)] == [5, 3]


async def test_erasure_forgets_devices_and_keeps_tokens_shut(accounts: AccountStore) -> None:
    await accounts.save_received([ReceivedMark(456, "phone", 10, 100, 0), ReceivedMark(7, "phone", 1, 1, 0)])
    revocation = await accounts.revoke(person_id=456, revoked_at_ms=20, expires_at_ms=2_000)
    assert await accounts.erase_person(456) == 1
    assert await accounts.devices(456) == []
    assert len(await accounts.devices(7)) == 1
    assert await accounts.revocations_after(0, now_ms=0) == [revocation]


def seen(device: str, at: int, person: int = 1, token: str = "t", issued: int = 0) -> SeenDevice:
    return SeenDevice(person, device, f"client of {device}", token, at, issued)


async def test_a_device_that_says_hello_is_new_once(accounts: AccountStore) -> None:
    assert await accounts.note_seen([seen("phone", 10), seen("desk", 11)]) == [seen("phone", 10), seen("desk", 11)]
    assert await accounts.note_seen([seen("phone", 20, token="t2"), seen("tablet", 21)]) == [seen("tablet", 21)]
    found = {device.device_id: device for device in await accounts.known_devices(1)}
    assert found["phone"] == KnownDevice("phone", None, "client of phone", 10, 20, 0, "t2")
    assert [device.device_id for device in await accounts.known_devices(1)] == ["tablet", "phone", "desk"]


async def test_hello_and_received_marks_keep_each_others_columns(accounts: AccountStore) -> None:
    await accounts.save_received([ReceivedMark(1, "phone", 7, 5, 0)])
    await accounts.note_seen([seen("phone", 10)])
    await accounts.save_received([ReceivedMark(1, "phone", 9, 12, 0)])
    assert await accounts.name_device(1, "phone", "mine")
    assert not await accounts.name_device(1, "desk", "mine")
    assert await accounts.known_devices(1) == [KnownDevice("phone", "mine", "client of phone", None, 12, 9, "t")]
    assert await accounts.highest_received([1, 2]) == {1: 9}


async def test_of_too_many_devices_the_oldest_are_forgotten(accounts: AccountStore) -> None:
    await accounts.note_seen([seen(f"d{number}", number) for number in range(MAX_DEVICES + 5)])
    assert [device.device_id for device in await accounts.known_devices(1)][-1] == "d5"
    assert len(await accounts.known_devices(1)) == MAX_DEVICES


async def test_a_device_is_removed_and_its_revocation_names_it(accounts: AccountStore, database: Database) -> None:
    await accounts.note_seen([seen("phone", 10), seen("desk", 10)])
    async with database.transaction() as transaction:
        removed = await remove_device(transaction, 1, "phone")
        assert await remove_device(transaction, 1, "phone") is None
    assert removed is not None
    assert removed.token_id == "t"
    assert [device.device_id for device in await accounts.known_devices(1)] == ["desk"]
    row = await accounts.revoke(person_id=1, device_id="phone", revoked_at_ms=5, expires_at_ms=100)
    assert row.device_id == "phone"
    assert await accounts.revocations_after(0, 1) == [row]


async def test_what_a_device_does_with_an_old_token_after_it_was_signed_out_is_not_stored(
    database: Database, accounts: AccountStore
) -> None:
    await accounts.note_seen([seen("phone", 10), seen("desk", 10)])
    async with database.transaction() as transaction:
        await remove_device(transaction, 1, "phone")
        await sign_out(transaction, 1, "phone", "t", revoked_at_ms=50, expires_at_ms=9_000)
    assert await accounts.note_seen([seen("phone", 60, issued=50), seen("desk", 60)]) == []
    await accounts.save_received([ReceivedMark(1, "phone", 9, 61, 50), ReceivedMark(1, "desk", 9, 61, 0)])
    assert await accounts.devices(1) == [Device(1, "desk", 9, 61)]
    # With a token that was issued later it is a new device, of which the old token says nothing.
    assert await accounts.note_seen([seen("phone", 70, issued=51)]) == [seen("phone", 70, issued=51)]
    await accounts.save_received([ReceivedMark(1, "phone", 9, 71, 50), ReceivedMark(1, "phone", 3, 72, 51)])
    await accounts.note_seen([seen("phone", 80, token="old", issued=49)])
    assert await accounts.devices(1) == [Device(1, "phone", 3, 72), Device(1, "desk", 9, 61)]
    assert {device.token_id for device in await accounts.known_devices(1)} == {"t"}


async def test_a_device_that_is_being_signed_out_does_not_come_back_by_what_it_did_meanwhile(
    database: Database, accounts: AccountStore
) -> None:
    await accounts.note_seen([seen("phone", 10)])
    async with database.transaction() as transaction:
        assert await remove_device(transaction, 1, "phone")
        late = [
            asyncio.create_task(accounts.note_seen([seen("phone", 20)])),
            asyncio.create_task(accounts.save_received([ReceivedMark(1, "phone", 9, 20, 0)])),
        ]
        await transaction.fetch("SELECT 1")
        await sign_out(transaction, 1, "phone", None, revoked_at_ms=30, expires_at_ms=9_000)
    await asyncio.gather(*late)
    assert await accounts.known_devices(1) == []


async def test_a_device_and_its_token_are_signed_out_with_the_rest_of_the_transaction_or_not_at_all(
    database: Database, accounts: AccountStore
) -> None:
    await accounts.note_seen([seen("phone", 10)])

    async def failing() -> None:
        async with database.transaction() as transaction:
            await remove_device(transaction, 1, "phone")
            await sign_out(transaction, 1, "phone", "t", revoked_at_ms=50, expires_at_ms=9_000)
            raise RuntimeError("the test's")

    with pytest.raises(RuntimeError):
        await failing()
    assert await accounts.revocations_after(0, now_ms=0) == []
    assert [device.device_id for device in await accounts.known_devices(1)] == ["phone"]
    async with database.transaction() as transaction:
        await sign_out(transaction, 1, "phone", "t", revoked_at_ms=50, expires_at_ms=9_000)
    found = await accounts.revocations_after(0, now_ms=0)
    assert [(row.person_id, row.device_id, row.token_id) for row in found] == [(1, "phone", None), (None, None, "t")]


async def test_received_marks_of_one_device_in_one_write_are_one(accounts: AccountStore) -> None:
    await accounts.save_received([ReceivedMark(1, "phone", 9, 5, 1), ReceivedMark(1, "phone", 7, 6, 2)])
    assert await accounts.devices(1) == [Device(1, "phone", 9, 6)]
    await accounts.save_received([])
