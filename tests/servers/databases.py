"""Databases of a test server: each test gets one like new, and the next test gets the same one, emptied.

Copying a template and dropping the copy costs PostgreSQL several hundred milliseconds, as it copies and deletes as many
files and writes three checkpoints. Deleting the rows and writing back the few that a fresh schema has costs a tenth of
that. A database whose schema a test has changed is dropped.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

import asyncpg

_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
_SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'"
_ENDED = """
    SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
_SCHEMA = """
    SELECT md5(string_agg(line, ';' ORDER BY line)) FROM (
        SELECT concat_ws(' ', relname, relkind, relchecks, relrowsecurity, reloptions) FROM pg_class
            WHERE relnamespace = 'public'::regnamespace
        UNION ALL
        SELECT concat_ws(' ', attrelid::regclass, attname, atttypid, attnotnull, attisdropped, atthasdef)
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace
        UNION ALL
        SELECT concat_ws(' ', conname, conrelid::regclass, contype, convalidated) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace
        UNION ALL
        SELECT concat_ws(' ', tgname, tgrelid::regclass, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL
        SELECT concat_ws(' ', proname, md5(prosrc)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL
        SELECT concat_ws(' ', indexrelid::regclass, indisvalid) FROM pg_index
            JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = 'public'::regnamespace
        UNION ALL
        SELECT concat_ws(' ', extname, extversion) FROM pg_extension
        UNION ALL
        SELECT concat_ws(' ', setrole, setconfig) FROM pg_db_role_setting JOIN pg_database ON setdatabase = oid
            WHERE datname = current_database()
    ) AS part(line)"""
_NEW_EPOCH = "UPDATE log SET epoch = md5(random()::text)"


class _Template(NamedTuple):
    """A database's content before a test has used it; ``rows``: JSON of each table that has any."""

    name: str
    schema: str
    tables: list[str]
    rows: dict[str, str]
    sequences: dict[str, int | None]


class Databases:
    """The databases of one server, by the server's address (``url(name)``)."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._templates: dict[str, _Template] = {}
        self._used: dict[str, _Template] = {}
        self._free: dict[str, list[str]] = {}

    def knows(self, template: str) -> bool:
        """Return whether ``add_template`` was called with this name."""
        return template in self._templates

    async def add_template(self, name: str) -> None:
        """Let ``take`` return databases like this one, which must not change any more."""
        connection = await asyncpg.connect(self._url(name))
        try:
            tables = [row[0] for row in await connection.fetch(_TABLES)]
            rows = {table: await connection.fetchval(f'SELECT json_agg(t) FROM "{table}" AS t') for table in tables}
            found = {table: text for table, text in rows.items() if text is not None}
            schema = await connection.fetchval(_SCHEMA)
            sequences = {row[0]: row[1] for row in await connection.fetch(_SEQUENCES)}
        finally:
            await connection.close()
        self._templates[name] = _Template(name, schema, tables, found, sequences)

    async def take(self, template: str) -> str:
        """Take a database like the template; returns its address. Random values of a new schema are created again."""
        free = self._free.setdefault(template, [])
        url = free.pop() if free else await self._copied(template)
        self._used[url] = self._templates[template]
        await self._execute(url, _NEW_EPOCH)
        return url

    async def create(self, template: str = "template1") -> str:
        """Create a database that is not reused; returns its address."""
        return await self._copied(template)

    async def give_back(self, url: str) -> None:
        """End open connections, and empty the database for the next test or drop it."""
        template = self._used.pop(url, None)
        if template is not None and await self._emptied(url, template):
            self._free[template.name].append(url)
        else:
            await self._execute(self._server_url, f"DROP DATABASE {_name(url)} WITH (FORCE)")

    async def _copied(self, template: str) -> str:
        name = f"test_{secrets.token_hex(8)}"
        await self._execute(self._server_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self._url(name)

    async def _emptied(self, url: str, template: _Template) -> bool:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(_ENDED)
            if await connection.fetchval(_SCHEMA) != template.schema:
                return False
            async with connection.transaction():
                await _refill(connection, template)
            return True
        finally:
            await connection.close()

    async def _execute(self, url: str, sql: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    def _url(self, name: str) -> str:
        return f"{self._server_url.rpartition('/')[0]}/{name}"


async def _refill(connection: asyncpg.Connection, template: _Template) -> None:
    # As a replica, PostgreSQL runs no triggers and checks no foreign keys, so the order of the tables does not matter.
    await connection.execute("SET LOCAL session_replication_role = replica")
    await connection.execute(";".join(f'DELETE FROM "{table}"' for table in template.tables))
    for table, rows in template.rows.items():
        await connection.execute(
            f'INSERT INTO "{table}" OVERRIDING SYSTEM VALUE SELECT * FROM json_populate_recordset(NULL::"{table}", $1)',
            rows,
        )
    for sequence, last in template.sequences.items():
        await connection.execute("SELECT setval($1::text::regclass, $2, $3)", sequence, last or 1, last is not None)


def _name(url: str) -> str:
    return url.rpartition("/")[2]
