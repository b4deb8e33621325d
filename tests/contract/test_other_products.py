"""Products that understand PostgreSQL's protocol and lack what Buzz needs of it.

A real PostgreSQL stands in for them: a schema before ``pg_catalog`` in the role's search path has functions of the same
names, which do what those of the other product do. So what is tried out is the behaviour, by Buzz's own statements.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from storage.errors import StorageError
from storage.postgresql.database import PostgresDatabase
from tests.harness.commands import run_alone
from tests.harness.postgresql import opened

_NOTHING = "RETURNS void LANGUAGE sql AS ''"
_TAKING = ("pg_advisory_xact_lock(integer, integer)", "pg_advisory_xact_lock_shared(integer, integer)")
_TRYING = ("pg_try_advisory_xact_lock(integer, integer)", "pg_try_advisory_xact_lock_shared(integer, integer)")
_COCKROACH = "SELECT ''CockroachDB CCL v23.1.11 (x86_64-pc-linux-gnu, built 2023/09/27, go1.19.10)''"


def _answering(functions: tuple[str, ...], body: str) -> tuple[str, ...]:
    return tuple(f"CREATE FUNCTION strange.{each} {body}" for each in functions)


PRODUCTS = {
    "locks that do nothing": (
        _answering(_TAKING, _NOTHING) + _answering(_TRYING, "RETURNS boolean LANGUAGE sql AS 'SELECT true'"),
        "a second connection got a lock that the first one had",
    ),
    "locks that do nothing, and are never held": (_answering(_TAKING, _NOTHING), "a second connection got a lock"),
    "only shared locks that do nothing": (_answering(_TAKING[1:], _NOTHING), "a second connection got a lock"),
    "locks that nobody gets": (
        _answering(_TRYING, "RETURNS boolean LANGUAGE sql AS 'SELECT false'"),
        "a second connection got a lock|a lock that nobody had",
    ),
    "no locks": (
        _answering(_TAKING, "RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE feature_not_supported; END'"),
        r"feature_not_supported",
    ),
    "CockroachDB": (
        (f"CREATE FUNCTION strange.version() RETURNS text LANGUAGE sql AS '{_COCKROACH}'",),
        r"they do nothing there; it says it is CockroachDB CCL v23\.1\.11",
    ),
}


@pytest.fixture
async def role(empty_postgres_url: str) -> AsyncIterator[str]:
    """A role that finds the functions of the schema ``strange`` first."""
    name = f"strange_{secrets.token_hex(4)}"
    await _execute(
        empty_postgres_url,
        "CREATE SCHEMA strange",
        f"CREATE ROLE {name} LOGIN SUPERUSER",
        f"ALTER ROLE {name} SET search_path = strange, pg_catalog, public",
    )
    yield name
    await _execute(empty_postgres_url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("product", PRODUCTS)
async def test_a_product_without_advisory_locks(empty_postgres_url: str, role: str, product: str) -> None:
    functions, words = PRODUCTS[product]
    url = empty_postgres_url.replace("//buzz@", f"//{role}@")
    async with opened(url) as database:
        await database.ping()
    await _execute(empty_postgres_url, *functions)
    with pytest.raises(StorageError, match=words) as raised:
        await PostgresDatabase.open(url)
    assert "Buzz needs PostgreSQL's advisory locks" in str(raised.value)


COMMANDS = {
    "serve": ["serve", "--dev", "--port", "0"],
    "migrate": ["migrate"],
    "promote": ["promote", "--to", "{url}"],
}


@pytest.fixture
async def without_locks(empty_postgres_url: str, role: str) -> str:
    await _execute(empty_postgres_url, *PRODUCTS["locks that do nothing"][0])
    return empty_postgres_url.replace("//buzz@", f"//{role}@")


@pytest.mark.parametrize("command", COMMANDS)
async def test_commands_refuse_it_in_one_line(without_locks: str, tmp_path: Path, command: str) -> None:
    if command == "promote":
        assert run_alone(["migrate"], tmp_path).returncode == 0
    arguments = [each.format(url=without_locks) for each in COMMANDS[command]]
    done = run_alone(arguments, tmp_path, BUZZ_DATABASE_URL=without_locks)
    assert done.returncode == 1
    *before, line = done.stderr.splitlines()
    assert all("fsync is off" in each for each in before)  # the tests' own server
    assert "Buzz needs PostgreSQL's advisory locks" in line


async def test_the_doctor_reports_it(without_locks: str, tmp_path: Path) -> None:
    done = run_alone(["doctor", "--json"], tmp_path, BUZZ_DATABASE_URL=without_locks)
    assert done.returncode == 1
    [finding] = [each for each in json.loads(done.stdout) if each["check"] == "storage"]
    assert finding["health"] == "fail"
    assert "Buzz needs PostgreSQL's advisory locks" in finding["detail"]
