"""Encryption data and public keys: one key in force for each device and algorithm, old ones stay readable."""

from __future__ import annotations

import asyncio

import pytest

from storage.database import Database
from storage.directory import keys
from storage.directory.keys import (
    MAX_KEYS_IN_FORCE,
    Encryption,
    KeyPublication,
    KeyRefusal,
    KeyStore,
    ListedKey,
    PublicKey,
)

NOW = 1_700_000_000_000


@pytest.fixture
def store(database: Database) -> KeyStore:
    return KeyStore(database)


def key(text: str, at: int = NOW, device: str | None = None, algorithm: str = "x25519") -> PublicKey:
    return PublicKey(text, algorithm, device, f"fingerprint of {text}", at, None)


async def listed(store: KeyStore, person: int) -> list[PublicKey]:
    return [each.key for each in await store.keys(person)]


async def publish(store: KeyStore, wanted: PublicKey, person: int = 1) -> KeyPublication:
    result = await store.publish(person, wanted)
    assert isinstance(result, KeyPublication)
    return result


async def test_encryption_data_is_kept_and_replaced(store: KeyStore) -> None:
    assert await store.encryption(1) is None
    await store.put_encryption(1, Encryption("h", "e", NOW))
    await store.put_encryption(1, Encryption("h2", "é" * 512, NOW + 1))
    assert await store.encryption(1) == Encryption("h2", "é" * 512, NOW + 1)
    assert await store.encryption(2) is None
    await store.clear(1)
    assert await store.encryption(1) is None


async def test_a_new_key_revokes_the_one_it_replaces(store: KeyStore) -> None:
    assert await publish(store, key("a")) == KeyPublication(key("a"), None, changed=True)
    assert await publish(store, key("b", NOW + 5)) == KeyPublication(
        key("b", NOW + 5), "fingerprint of a", changed=True
    )
    assert await listed(store, 1) == [key("b", NOW + 5), key("a")._replace(revoked_at_ms=NOW + 5)]


async def test_the_same_key_again_changes_nothing(store: KeyStore) -> None:
    await publish(store, key("a"))
    assert await publish(store, key("a", NOW + 5)) == KeyPublication(key("a"), None, changed=False)
    assert await listed(store, 1) == [key("a")]


async def test_a_statement_comes_with_its_key_and_can_change_alone(store: KeyStore) -> None:
    mine = key("a")._replace(statement="c2lnbmVk")
    await publish(store, mine)
    assert await publish(store, key("a", NOW + 1)) == KeyPublication(mine, None, changed=False)
    linked = key("a", NOW + 2)._replace(statement="bGlua2Vk")
    assert await publish(store, linked) == KeyPublication(linked, "fingerprint of a", changed=True)
    assert await listed(store, 1) == [linked]
    assert await publish(store, key("b", NOW + 3)) == KeyPublication(
        key("b", NOW + 3), "fingerprint of a", changed=True
    )


async def test_a_devices_keys_are_revoked_together(store: KeyStore, database: Database) -> None:
    await publish(store, key("a", device="phone"))
    await publish(store, key("b", device="phone", algorithm="ed25519"))
    await publish(store, key("c", device="desk"))
    async with database.transaction() as transaction:
        revoked = await keys.revoke_of_device(transaction, 1, "phone", NOW + 5)
    assert {(each.public_key, each.revoked_at_ms) for each in revoked} == {("a", NOW + 5), ("b", NOW + 5)}
    assert [each.public_key for each in await listed(store, 1) if each.revoked_at_ms is None] == ["c"]


async def test_an_old_key_can_come_back(store: KeyStore) -> None:
    for at, text in enumerate("aba"):
        await publish(store, key(text, NOW + at))
    assert [(each.public_key, each.revoked_at_ms) for each in await listed(store, 1)] == [
        ("a", None),
        ("b", NOW + 2),
        ("a", NOW + 1),
    ]


async def test_devices_algorithms_and_people_are_apart(store: KeyStore) -> None:
    await publish(store, key("a"))
    await publish(store, key("b", device="phone"))
    await publish(store, key("c", device="phone", algorithm="ed25519"))
    await publish(store, key("d"), person=2)
    assert {each.public_key for each in await listed(store, 1)} == {"a", "b", "c"}
    assert all(each.revoked_at_ms is None for each in await listed(store, 1))


async def test_keys_in_force_are_bounded(store: KeyStore) -> None:
    for number in range(MAX_KEYS_IN_FORCE):
        await publish(store, key("a", device=f"device {number}"))
    assert await store.publish(1, key("a", device="one more")) is KeyRefusal.TOO_MANY
    await publish(store, key("b", device="device 0"))
    await publish(store, key("a"), person=2)


async def test_keys_that_were_replaced_are_kept_up_to_a_bound(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        keys, "_DELETE_OLDEST", keys._DELETE_OLDEST.replace(f"OFFSET {keys.MAX_KEYS_LISTED}", "OFFSET 5")
    )
    await publish(store, key("tablet", device="tablet"))
    for number in range(20):
        await publish(store, key(f"phone {number}", at=NOW + number, device="phone"))
    kept = [each.public_key for each in await listed(store, 1)]
    assert kept == ["phone 19", "tablet", "phone 18", "phone 17", "phone 16"]


async def test_one_key_is_in_force_whatever_races(store: KeyStore) -> None:
    await asyncio.gather(*(publish(store, key(f"key {number}", NOW + number)) for number in range(12)))
    found = await listed(store, 1)
    assert len(found) == 12
    assert sum(each.revoked_at_ms is None for each in found) == 1


async def test_erasure_takes_everything(store: KeyStore, database: Database) -> None:
    await publish(store, key("a"))
    await store.put_encryption(1, Encryption("h", "e", NOW))
    async with database.transaction() as transaction:
        await keys.erase(transaction, 1)
    assert await listed(store, 1) == []
    assert await store.encryption(1) is None


async def test_a_persons_keys_are_read_page_by_page(store: KeyStore) -> None:
    await publish(store, key("tablet", device="tablet"))
    for number in range(12):
        await publish(store, key(f"phone {number}", at=NOW + number // 3, device="phone"))
    whole = await store.keys(1)
    found: list[ListedKey] = []
    while page := await store.keys(1, found[-1].position if found else None, 5):
        found += page
    assert found == whole
    assert len(found) == 13
    assert [each.key.revoked_at_ms is None for each in found[:3]] == [True, True, False]
