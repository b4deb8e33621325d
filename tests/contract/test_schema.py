"""The two schemas, after all steps: the same tables, with the same columns, on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from storage.migrate import migrate
from storage.postgresql.database import PostgresDatabase
from storage.sqlite.database import SqliteDatabase

ONLY_SQLITE: Final = {
    "party_activity": "the log's index by party, written behind the log; on PostgreSQL an index of activity",
    "conversation_activity": "the same, by conversation",
    "message_key": "the same, by author and message id",
    "log_index": "how far these indexes have come",
}
ONLY_POSTGRESQL: Final = {
    "log_writer": "the last batch of each node, by which a commit of unknown outcome is found; SQLite has one writer",
}
OTHER_KIND: Final = {
    "activity.message": "PostgreSQL's text can hold no NUL, so it is bytes there",
    "activity.idempotency_key": "likewise, and a key may have bytes that are no UTF-8",
}
KINDS: Final = {
    "bigint": "number", "integer": "number", "smallint": "number", "boolean": "boolean", "text": "text",
    "blob": "bytes", "bytea": "bytes",
}  # fmt: skip


class Column(NamedTuple):
    """What a column is on either database."""

    kind: str
    nullable: bool
    in_key: bool


Schema = dict[str, dict[str, Column]]

_OF_SQLITE = """
    SELECT t.name, c.name, c.type, c."notnull" = 0 AND c.pk = 0, c.pk > 0
    FROM sqlite_schema AS t CROSS JOIN pragma_table_info(t.name) AS c
    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite!_%' ESCAPE '!'"""
_OF_POSTGRESQL = """
    SELECT c.table_name, c.column_name, c.data_type, c.is_nullable = 'YES', EXISTS (
        SELECT 1 FROM information_schema.key_column_usage AS k
        JOIN information_schema.table_constraints AS t USING (constraint_schema, constraint_name)
        WHERE t.constraint_type = 'PRIMARY KEY' AND k.table_name = c.table_name AND k.column_name = c.column_name)
    FROM information_schema.columns AS c WHERE c.table_schema = current_schema()"""


async def test_both_databases_have_the_same_tables_and_columns(tmp_path: Path, postgres_url: str) -> None:
    sqlite, postgresql = await of_sqlite(tmp_path / "buzz.db"), await of_postgresql(postgres_url)
    assert sqlite.keys() - postgresql.keys() == ONLY_SQLITE.keys()
    assert postgresql.keys() - sqlite.keys() == ONLY_POSTGRESQL.keys()
    for table in sqlite.keys() & postgresql.keys():
        assert sqlite[table].keys() == postgresql[table].keys(), table
        for name, column in sqlite[table].items():
            other = postgresql[table][name]
            if f"{table}.{name}" in OTHER_KIND:
                assert (column.kind, other.kind) == ("text", "bytes"), "no longer a difference"
                other = other._replace(kind=column.kind)
            assert column == other, f"{table}.{name}"


async def of_sqlite(path: Path) -> Schema:
    database = await SqliteDatabase.open(path)
    try:
        await migrate(database)
        return schema(await database.fetch(_OF_SQLITE))
    finally:
        await database.close()


async def of_postgresql(url: str) -> Schema:
    database = await PostgresDatabase.open(url)
    try:
        return schema(await database.fetch(_OF_POSTGRESQL))
    finally:
        await database.close()


def schema(rows: list[tuple[str, ...]]) -> Schema:
    found: Schema = {}
    for table, name, kind, nullable, in_key in rows:
        found.setdefault(table, {})[name] = Column(KINDS[kind.lower()], bool(nullable), bool(in_key))
    return found
