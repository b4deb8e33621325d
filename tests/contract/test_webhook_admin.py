"""Webhook endpoints and sources changed by several operators at once, on every backend."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from protocol.directory import Company, Kind
from server.webhooks.admin import EndpointChange, NewEndpoint, NewSource, Rotation, SourceKeys, WebhookAdmin
from storage.database import Database
from storage.directory import writes as directory_writes
from storage.directory.writes import ObjectChange
from storage.webhooks import endpoints

NOW = 1_584_211_480_000
ACME = 123
ROUNDS = 20
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def opened(database: Database) -> WebhookAdmin:
    """The service, with one company in the directory."""
    async with database.transaction() as transaction:
        change = ObjectChange(Kind.COMPANY, None, Company(ACME, "Acme", None, ()))
        await directory_writes.write(transaction, Kind.COMPANY, [change], NOW)
    return WebhookAdmin(database, _no_worker, lambda: NOW)


def _no_worker(endpoint_ids: Sequence[int] = ()) -> None:
    """Nobody delivers here."""


async def test_a_change_beside_a_rotation_loses_neither(database: Database) -> None:
    admin = await opened(database)
    made = await admin.add_endpoint(NewEndpoint(company_id=ACME, url="https://example.com/0"))
    for number in range(ROUNDS):
        url = f"https://example.com/{number + 1}"
        rotated, _ = await asyncio.gather(
            admin.rotate_endpoint(made.id, Rotation()), admin.change_endpoint(made.id, EndpointChange(url=url))
        )
        kept = await endpoints.endpoint(database, made.id)
        assert kept is not None
        assert (kept.keys.api_key, kept.url) == (rotated.keys.api_key, url), "the key that the operator was shown"


async def test_two_changes_at_once_keep_both(database: Database) -> None:
    admin = await opened(database)
    made = await admin.add_endpoint(NewEndpoint(company_id=ACME, url="https://example.com/0"))
    for number in range(ROUNDS):
        url, enabled = f"https://example.com/{number + 1}", number % 2 == 1
        await asyncio.gather(
            admin.change_endpoint(made.id, EndpointChange(url=url)),
            admin.change_endpoint(made.id, EndpointChange(enabled=enabled)),
        )
        kept = await endpoints.endpoint(database, made.id)
        assert kept is not None
        assert (kept.url, kept.enabled) == (url, enabled)


async def test_two_rotations_at_once_keep_the_first_ones_key_as_the_one_before(database: Database) -> None:
    admin = await opened(database)
    made = await admin.add_endpoint(NewEndpoint(company_id=ACME, url="https://example.com/0"))
    for _ in range(ROUNDS):
        shown = await asyncio.gather(*(admin.rotate_endpoint(made.id, Rotation()) for _ in range(2)))
        kept = await endpoints.endpoint(database, made.id)
        assert kept is not None
        assert {kept.keys.api_key, kept.keys.previous_api_key} == {each.keys.api_key for each in shown}


async def test_two_keys_of_a_source_changed_at_once_are_both_kept(database: Database) -> None:
    admin = await opened(database)
    made = await admin.add_source(NewSource(company_id=ACME, api_key="first"))
    for number in range(ROUNDS):
        await asyncio.gather(
            admin.rotate_source(made.id, SourceKeys(api_key=f"key {number}")),
            admin.rotate_source(made.id, SourceKeys(secret=SECRET)),
        )
        kept = await endpoints.source(database, made.id)
        assert kept is not None
        assert (kept.keys.api_key, kept.keys.secret) == (f"key {number}", SECRET)


async def test_a_new_secret_leaves_the_api_key_before_the_last_one_its_overlap(database: Database) -> None:
    admin = await opened(database)
    made = await admin.add_source(NewSource(company_id=ACME, api_key="old"))
    await admin.rotate_source(made.id, SourceKeys(api_key="new"))
    source = await admin.rotate_source(made.id, SourceKeys(secret=SECRET))
    assert source.keys.api_keys(NOW) == ["new", "old"]
    assert source.keys.secrets(NOW) == [SECRET]


async def test_a_key_whose_overlap_has_ended_does_not_come_back(database: Database) -> None:
    admin = await opened(database)
    made = await admin.add_source(NewSource(company_id=ACME, api_key="old"))
    await admin.rotate_source(made.id, SourceKeys(api_key="new", overlap_seconds=0))
    source = await admin.rotate_source(made.id, SourceKeys(secret=SECRET))
    assert source.keys.api_keys(NOW) == ["new"]
