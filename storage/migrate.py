"""Schema steps: numbered ``.sql`` files, each applied in one transaction and recorded in the database.

``NNNN_name.sql`` serves both dialects; ``NNNN_name.sqlite.sql`` and ``NNNN_name.postgresql.sql`` serve one each. Steps
are additive, so that a node of the previous release still runs on the new schema; clean-ups come one release later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from storage.database import Database, Dialect, Lane
from storage.errors import SchemaTooNew, StorageError
from storage.telephony.match_keys import rekey

_FOLDER = Path(__file__).parent / "sql"
_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>\w+?)(?:\.(?P<dialect>sqlite|postgresql))?\.sql")
_CREATE_TABLE = "CREATE TABLE IF NOT EXISTS schema_step (number INTEGER PRIMARY KEY, name TEXT NOT NULL)"
_NUMBERS = "SELECT number FROM schema_step"


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered step of the schema."""

    number: int
    name: str
    statements: tuple[str, ...]


def steps(dialect: Dialect, folder: Path = _FOLDER) -> list[Step]:
    """Return the steps for one dialect, in order. Raises StorageError if one is missing, double or misnamed."""
    found: dict[int, Step] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise StorageError(f"{path.name}: a schema step is called NNNN_name.sql or NNNN_name.<dialect>.sql")
        if match["dialect"] not in (None, dialect):
            continue
        number = int(match["number"])
        if number in found:
            raise StorageError(f"{path.name}: step {number} exists twice")
        found[number] = Step(number, match["name"], split(path.read_text()))
    return [found[number] for number in sorted(found)]


def split(script: str) -> tuple[str, ...]:
    """Split a script into statements.

    It must have no semicolon inside a string, and comments only on lines of their own.
    """
    lines = (line for line in script.splitlines() if not line.lstrip().startswith("--"))
    return tuple(statement.strip() for statement in "\n".join(lines).split(";") if statement.strip())


async def applied(database: Database) -> set[int]:
    """Return the numbers of the steps that this database has."""
    try:
        rows = await database.fetch(_NUMBERS)
    except StorageError:
        # Most likely there is no such table yet. A role that may only read and write cannot create it.
        async with database.transaction(Lane.SCHEMA) as transaction:
            await transaction.execute(_CREATE_TABLE)
            rows = await transaction.fetch(_NUMBERS)
    return {number for (number,) in rows}


async def pending(database: Database) -> list[Step]:
    """Return the steps still to apply. Raises SchemaTooNew if the database has steps unknown to this release."""
    known = steps(database.dialect)
    have = await applied(database)
    newer = sorted(have - {step.number for step in known})
    if newer:
        raise SchemaTooNew(
            f"The database has schema step {newer[-1]}, this release knows up to {known[-1].number}:"
            " start a newer release."
        )
    return [step for step in known if step.number not in have]


async def migrate(database: Database) -> list[Step]:
    """Apply the pending steps, one transaction each; returns those that were applied.

    Several processes may do it at the same time: writing transactions run one after another, and each step is applied
    by the first one. Afterwards the match keys of stored numbers are computed, which SQL can't do.
    """
    done = [step for step in await pending(database) if await _apply(database, step)]
    await rekey(database)
    return done


async def _apply(database: Database, step: Step) -> bool:
    async with database.transaction(Lane.SCHEMA) as transaction:
        if await transaction.fetch(f"{_NUMBERS} WHERE number = ?", step.number):
            return False
        for statement in step.statements:
            await transaction.execute(statement)
        await transaction.execute("INSERT INTO schema_step (number, name) VALUES (?, ?)", step.number, step.name)
    return True
