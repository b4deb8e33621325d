"""A database connection that is lost in the midst of a request: the client is told to come again, by every route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from tests.end_to_end.cluster.conftest import OpenNodes
from tests.harness.http import Answer, Http
from tests.harness.people import EVE, JANE
from tests.harness.watch import Watch

_KEY = {"public_key": "jJ0DYzKJ7fJ1UHPkTJFCB0/F3dLC6mYHRMiXEIHyhRw=", "algorithm": "x25519", "device_id": "phone"}
_LOSE = """
    CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
    CREATE TRIGGER lose BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION lose();"""


async def _publish_a_key(person: Http, _: Http) -> Answer:
    return await person("PUT", "/apps/buzz/public-key", json=_KEY)


async def _put_encryption(person: Http, _: Http) -> Answer:
    return await person("PUT", "/apps/buzz/encryption", json={"hash": "h", "e2e_id": "e"})


async def _send(person: Http, _: Http) -> Answer:
    message = {"type": "outgoing_call_missed", "sendable_type": "person", "sendable_id": JANE}
    return await person.post(message | {"receivable_type": "person", "receivable_id": EVE})


async def _change_the_directory(_: Http, admin: Http) -> Answer:
    return await admin("PUT", "/admin/directory/person/4711", json={"first_name": "New", "last_name": "One"})


async def _revoke(_: Http, admin: Http) -> Answer:
    return await admin("POST", "/admin/revocations", json={"person_id": EVE})


@pytest.mark.parametrize(
    ("table", "ask"),
    [
        ("public_key", _publish_a_key),
        ("encryption", _put_encryption),
        ("activity", _send),
        ("person", _change_the_directory),
        ("revocation", _revoke),
    ],
)
async def test_is_said_as_503_with_retry_after(
    watch: Watch, open_cluster: OpenNodes, peopled_url: str, table: str, ask: Callable[[Http, Http], Any]
) -> None:
    watch.expect("storage unavailable", "commit failed")
    [world] = await open_cluster(1)
    connection = await asyncpg.connect(peopled_url)
    try:
        await connection.execute(_LOSE.format(table=table))
        people = world.http(JANE), world.http(token=world.tokens.service("admin"))
        for _ in range(3):
            answer = await ask(*people)
            assert (answer.status, answer.headers.get("Retry-After")) == (503, "1"), answer.body
        await connection.execute(f"DROP TRIGGER lose ON {table}")
        assert (await ask(*people)).status < 300
    finally:
        await connection.close()
