"""Incoming calls and the reasons of each decision. A call is counted once even if Twilio asks about it repeatedly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Final, NamedTuple

import msgspec

from storage.database import Database, Dialect, Row, Transaction, Value

BARE_REPEAT_MS: Final = 10_000
"""The same two numbers again within this time, with nothing to tell the calls apart, are one call."""

TOKEN_REPEAT_MS: Final = 24 * 3_600_000
"""How long an idempotency token or a CallSid is known. Twilio repeats within minutes; a call lasts 24 h at most."""

LISTED: Final = 100
"""Calls in a list: the newest."""

_Types = tuple[str, ...]
"""The types of the parameters of one row."""

_MAX_ROWS: Final = 256
"""Rows in one statement, filled up to a power of two with NULLs: few different ones, so that they stay prepared."""


class CallRow(NamedTuple):
    """One incoming call of a person, in the order of its columns (``0017_incoming_call``).

    ``caller`` identifies the caller: E.164, or the text as given. ``reasons``: JSON of what made the caller trusted,
    ``[[kind, id], …]``; ``reason``: why the call did not ring, None if it did. ``recorded_from``: a party key.
    """

    person_id: int
    called: str
    call_id: str
    caller: str
    caller_id: str
    country_code: str
    phone_number: str
    verified: str
    trusted: int
    reason: str | None
    reasons: str
    certainty: str | None
    recorded_from: int | None
    outcome: str
    call_time: int | None
    created_at_ms: int


class NewCall(NamedTuple):
    """A call to store. ``tokens`` are Twilio's ids of the call or its request (idempotency token, CallSid), if any."""

    row: CallRow
    tokens: tuple[str, ...] = ()


class End(NamedTuple):
    """The outcome of a call as the column stores it, and the seconds of a connected one."""

    outcome: str
    call_time: int | None


_RISES_FROM: Final[dict[str, tuple[str, ...]]] = {
    "missed": ("ringing",),
    "connected_insecure": ("ringing", "missed"),
    "connected_secure": ("ringing", "missed"),
}
"""Which outcomes give way to another: callbacks come in any order, and a call that was connected stays connected."""


class CallStore:
    """Incoming calls. Raises StorageUnavailable when nothing was stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, calls: Sequence[NewCall]) -> list[bool]:
        """Store a batch durably; returns for each call, in order, whether it is new (no repeat of a stored one)."""
        async with self._database.transaction() as transaction:
            # First of all: its lock also makes the following statements see all that other nodes have stored.
            last = await _take_ids(transaction, len(calls))
            fresh = await _fresh(transaction, self._database.dialect, calls)
            ids = range(last - len(calls) + 1, last + 1)
            new = [(id, *call.row) for id, call, is_new in zip(ids, calls, fresh, strict=True) if is_new]
            await _run(transaction, self._database.dialect, _INSERT, _INSERT_ROW, new)
        return fresh

    async def find(self, called: str, call_id: str, caller: str) -> CallRow | None:
        """Return the call with this id between these two."""
        sql = f"SELECT {_COLUMNS} FROM incoming_call WHERE {_KNOWN}"
        rows = await self._database.fetch(sql, called, call_id, caller)
        return CallRow(*rows[0]) if rows else None

    async def end(self, row: CallRow, end: End) -> None:
        """Store the outcome of a call that rang; if the call itself was not stored (that failed), store it too."""
        async with self._database.transaction() as transaction:
            known = (row.called, row.call_id, row.caller)
            if await transaction.fetch(f"SELECT 1 FROM incoming_call WHERE {_KNOWN}", *known):
                await transaction.execute(_end_sql(end), end.outcome, end.call_time, *known)
                return
            number = await _take_ids(transaction, 1)
            ended = row._replace(outcome=end.outcome, call_time=end.call_time)
            await _run(transaction, self._database.dialect, _INSERT, _INSERT_ROW, [(number, *ended)])

    async def latest(self, person_id: int, *, blocked_only: bool = False) -> list[CallRow]:
        """Return the person's newest 100 calls, or those of them that did not ring, the newest first."""
        wanted = [_BLOCKED, _BLOCKED_BEFORE] if blocked_only else [_BLOCKED, _RUNG, _BLOCKED_BEFORE]
        parts = " UNION ALL ".join(f"SELECT * FROM ({part}) AS part{n}" for n, part in enumerate(wanted))
        sql = f"SELECT {_COLUMNS} FROM ({parts}) AS calls ORDER BY id DESC LIMIT {LISTED}"
        return [CallRow(*row) for row in await self._database.fetch(sql, *[person_id] * len(wanted))]

    async def delete_before(self, created_before_ms: int, limit: int) -> int:
        """Delete at most ``limit`` of the oldest calls that are older than that; returns how many.

        Ids and times rise together unless a clock was set back, so only the oldest ids are checked.
        """
        deleted = 0
        async with self._database.transaction() as transaction:
            for table in _TABLES:
                oldest = f"SELECT id, created_at_ms FROM {table} ORDER BY id LIMIT {int(limit)}"
                due = f"SELECT id FROM ({oldest}) AS oldest WHERE created_at_ms < ?"
                deleted += await transaction.execute(f"DELETE FROM {table} WHERE id IN ({due})", created_before_ms)
        return deleted

    async def forget_tokens(self, now_ms: int, limit: int) -> int:
        """Delete at most ``limit`` tokens of calls that are too old to be repeated; returns how many."""
        async with self._database.transaction() as transaction:
            return await transaction.execute(
                f"""DELETE FROM call_seen WHERE key IN
                    (SELECT key FROM call_seen WHERE at_ms < ? ORDER BY at_ms LIMIT {int(limit)})""",
                now_ms - TOKEN_REPEAT_MS,
            )

    async def clear(self, person_id: int) -> None:
        """Delete the person's calls (a development tool)."""
        async with self._database.transaction() as transaction:
            await erase(transaction, person_id)


async def erase(transaction: Transaction, person_id: int) -> None:
    """Delete the person's calls and call settings inside a transaction that does more.

    Calls to others keep only the number that was shown: a call belongs to the called person.
    """
    for table in (*_TABLES, "call_seen", "call_setting"):
        await transaction.execute(f"DELETE FROM {table} WHERE person_id = ?", person_id)


def _end_sql(end: End) -> str:
    given_way = ", ".join(f"'{outcome}'" for outcome in _RISES_FROM[end.outcome])
    return f"""UPDATE incoming_call SET outcome = ?, call_time = ?
               WHERE {_KNOWN} AND trusted = 1 AND outcome IN ({given_way})"""


_TABLES: Final = ("incoming_call", "blocked_call")
_COLUMNS: Final = ", ".join(CallRow._fields)
_KNOWN: Final = "called = ? AND call_id = ? AND caller = ?"
_OF_PERSON: Final = f"SELECT id, {_COLUMNS} FROM incoming_call WHERE person_id = ?"
_BLOCKED, _RUNG = (f"{_OF_PERSON} AND trusted = {value} ORDER BY id DESC LIMIT {LISTED}" for value in (0, 1))
# What the previous release has stored, and still stores while nodes of both run.
_BLOCKED_BEFORE: Final = f"""
    SELECT id, person_id, '' AS called, 'BZ' || CAST(id AS TEXT) AS call_id, country_code || phone_number AS caller,
        caller_id, country_code, phone_number, 'none' AS verified, 0 AS trusted, 'unknown' AS reason, '[]' AS reasons,
        NULL AS certainty, CAST(NULL AS BIGINT) AS recorded_from, 'blocked' AS outcome,
        CAST(NULL AS INTEGER) AS call_time, created_at_ms
    FROM blocked_call WHERE person_id = ? ORDER BY id DESC LIMIT {LISTED}"""

_INSERT: Final = f"""
    INSERT INTO incoming_call (id, {_COLUMNS})
    SELECT {", ".join(f"v.column{number}" for number in range(1, len(CallRow._fields) + 2))}
    FROM (VALUES {{rows}}) AS v WHERE v.column1 IS NOT NULL ON CONFLICT (called, call_id, caller) DO NOTHING"""
_INTEGERS: Final = {"person_id", "recorded_from", "created_at_ms"}
_SMALL: Final = {"trusted", "call_time"}
_INSERT_ROW: Final[_Types] = (
    "BIGINT",
    *("BIGINT" if name in _INTEGERS else "INTEGER" if name in _SMALL else "TEXT" for name in CallRow._fields),
)

# abs(), so that a clock that was set back does not make every call a repeat until it has caught up.
_REPEATED: Final = """
    SELECT {aggregate}(call_seen.key) FROM (VALUES {rows}) AS v JOIN call_seen ON call_seen.key = v.column1
    WHERE abs(v.column3 - call_seen.at_ms) < v.column4"""
_AGGREGATE: Final[dict[Dialect, str]] = {"sqlite": "json_group_array", "postgresql": "json_agg"}
_SEE: Final = """
    INSERT INTO call_seen (key, person_id, at_ms, window_ms)
    SELECT v.column1, v.column2, v.column3, v.column4 FROM (VALUES {rows}) AS v WHERE v.column1 IS NOT NULL
    ON CONFLICT (key) DO UPDATE SET at_ms = excluded.at_ms, window_ms = excluded.window_ms
    WHERE abs(excluded.at_ms - call_seen.at_ms) >= excluded.window_ms"""
_SIGHTING_ROW: Final[_Types] = ("TEXT", "BIGINT", "BIGINT", "BIGINT")

Sighting = tuple[str, int, int, int]
"""A row of call_seen: key, person, when, window."""


class _Identity(NamedTuple):
    """What identifies one request: its keys, and its pair of numbers."""

    deciding: tuple[str, ...]
    pair: str


def _identity(call: NewCall) -> _Identity:
    row = call.row
    # The result of the signature check is part of the pair: with another result it is another request.
    pair = _key(row.person_id, "pair", row.caller, *([] if row.verified == "none" else [row.verified]))
    return _Identity(tuple(_key(row.person_id, "token", each) for each in call.tokens) or (pair,), pair)


def _key(*parts: object) -> str:
    # A digest, so that the table of keys contains nothing that a caller or Twilio sent.
    text = "\0".join(map(str, parts))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


async def _fresh(transaction: Transaction, dialect: Dialect, calls: Sequence[NewCall]) -> list[bool]:
    """Return which calls are counted.

    A call with tokens is compared by them, a call without by its pair of numbers. The pair is stored for both, so that
    a repeat without tokens is recognised.
    """
    sightings: dict[str, Sighting] = {}
    deciding: list[tuple[str, ...]] = []
    for call in calls:
        identity = _identity(call)
        repeated = any(key in sightings for key in identity.deciding)
        deciding.append(() if repeated else identity.deciding)
        window_ms = TOKEN_REPEAT_MS if call.tokens else BARE_REPEAT_MS
        person_id, at_ms = call.row.person_id, call.row.created_at_ms
        for key in identity.deciding:
            sightings.setdefault(key, (key, person_id, at_ms, window_ms))
        sightings.setdefault(identity.pair, (identity.pair, person_id, at_ms, 0))
    seen = list(sightings.values())
    repeated_sql = _REPEATED.replace("{aggregate}", _AGGREGATE[dialect])
    answers = await _run(transaction, dialect, repeated_sql, _SIGHTING_ROW, seen)
    known = {key for (text,) in answers for key in msgspec.json.decode(text or "[]")}
    await _run(transaction, dialect, _SEE, _SIGHTING_ROW, seen)
    return [bool(keys) and known.isdisjoint(keys) for keys in deciding]


async def _run(
    transaction: Transaction, dialect: Dialect, sql: str, row: _Types, rows: Sequence[tuple[Value, ...]]
) -> list[Row]:
    """Run a statement on many rows of parameters at once: one step in the database, not one for each."""
    answers: list[Row] = []
    for start in range(0, len(rows), _MAX_ROWS):
        chunk = rows[start : start + _MAX_ROWS]
        size = 1 << (len(chunk) - 1).bit_length()
        binds: list[Value] = list(chain.from_iterable(chunk))
        binds.extend([None] * len(chunk[0]) * (size - len(chunk)))
        answers += await transaction.fetch(statement(sql, dialect, row, size), *binds)
    return answers


@cache
def statement(sql: str, dialect: Dialect, row: _Types, size: int) -> str:
    """Return the SQL for ``size`` rows. Only PostgreSQL has to be told their types.

    SQLite's statements are kept short without them: apsw prepares a text of more than 16 KiB anew at every use.
    """
    values = ", ".join("?" if dialect == "sqlite" else f"CAST(? AS {each})" for each in row)
    return sql.replace("{rows}", ", ".join([f"({values})"] * size))


async def _take_ids(transaction: Transaction, count: int) -> int:
    """Take the next ``count`` ids; returns the last one given."""
    [(last,)] = await transaction.fetch("UPDATE blocked_call_head SET id = id + ? RETURNING id", count)
    return int(last)
