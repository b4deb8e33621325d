"""Blocked calls, each counted once however often Twilio asks about it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import msgspec

from storage.database import Database, Dialect, Row, Transaction, Value

BARE_REPEAT_MS: Final = 10_000
"""The same two numbers again within this time, with nothing to tell the calls apart, are one call."""

TOKEN_REPEAT_MS: Final = 24 * 3_600_000
"""How long an idempotency token or a CallSid is known. Twilio repeats within minutes; a call lasts 24 h at most."""

_FORGOTTEN_AT_ONCE: Final = 1_000
_MAX_ROWS: Final = 1_024
"""Rows in one statement, filled up to a power of two with NULLs: few different ones, so that they stay prepared."""


class NewBlockedCall(NamedTuple):
    """A call that did not ring. ``caller`` is what tells callers apart: E.164, or the number as given.

    ``tokens`` are Twilio's names for the call or its request (idempotency token, CallSid), where it gave any.
    """

    person_id: int
    caller: str
    caller_id: str
    country_code: str
    phone_number: str
    created_at_ms: int
    tokens: tuple[str, ...] = ()


class BlockedCall(NamedTuple):
    """A stored one. ``id`` is the call's own."""

    id: int
    person_id: int
    caller_id: str
    country_code: str
    phone_number: str
    created_at_ms: int


class CallStore:
    """Raises StorageUnavailable when nothing was stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, calls: Sequence[NewBlockedCall]) -> list[BlockedCall | None]:
        """Store a batch durably; for each, in order, the stored call, or None for a repeat of one that was stored."""
        async with self._database.transaction() as transaction:
            # First of all: it is also the lock that makes what follows see all that other nodes have stored.
            last = await _take_ids(transaction, len(calls))
            fresh = await _fresh(transaction, self._database.dialect, calls)
            ids = iter(range(last - len(calls) + 1, last + 1))
            stored = [_stored(next(ids), call) if new else None for call, new in zip(calls, fresh, strict=True)]
            await _run(transaction, _INSERT, _INSERT_ROW, [call for call in stored if call is not None])
        return stored

    async def latest(self, person_id: int, limit: int = 100) -> list[BlockedCall]:
        """The person's newest blocked calls, the newest first."""
        sql = f"""SELECT id, person_id, caller_id, country_code, phone_number, created_at_ms
                  FROM blocked_call WHERE person_id = ? ORDER BY id DESC LIMIT {int(limit)}"""
        return [BlockedCall(*row) for row in await self._database.fetch(sql, person_id)]

    async def forget_tokens(self, now_ms: int) -> int:
        """Drop some of what repeats were known by and is too old to be repeated; returns how many."""
        async with self._database.transaction() as transaction:
            return await transaction.execute(
                f"""DELETE FROM call_seen WHERE key IN
                    (SELECT key FROM call_seen WHERE at_ms < ? ORDER BY at_ms LIMIT {_FORGOTTEN_AT_ONCE})""",
                now_ms - TOKEN_REPEAT_MS,
            )

    async def clear(self, person_id: int) -> None:
        """Delete the person's blocked calls (a development tool)."""
        async with self._database.transaction() as transaction:
            await erase(transaction, person_id)


async def erase(transaction: Transaction, person_id: int) -> None:
    """Delete the person's blocked calls inside a transaction that does more."""
    await transaction.execute("DELETE FROM blocked_call WHERE person_id = ?", person_id)
    await transaction.execute("DELETE FROM call_seen WHERE person_id = ?", person_id)


def _row(*types: str) -> str:
    return f"({', '.join(f'CAST(? AS {each})' for each in types)})"


_INSERT: Final = """
    INSERT INTO blocked_call (id, person_id, caller_id, country_code, phone_number, created_at_ms)
    SELECT v.column1, v.column2, v.column3, v.column4, v.column5, v.column6 FROM (VALUES {rows}) AS v
    WHERE v.column1 IS NOT NULL"""
_INSERT_ROW: Final = _row("BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT", "BIGINT")

# A clock that was set back must not make every call a repeat until it has caught up: hence abs().
_REPEATED: Final = """
    SELECT {aggregate}(call_seen.key) FROM (VALUES {rows}) AS v JOIN call_seen ON call_seen.key = v.column1
    WHERE abs(v.column3 - call_seen.at_ms) < v.column4"""
_AGGREGATE: Final[dict[Dialect, str]] = {"sqlite": "json_group_array", "postgresql": "json_agg"}
_SEE: Final = """
    INSERT INTO call_seen (key, person_id, at_ms, window_ms)
    SELECT v.column1, v.column2, v.column3, v.column4 FROM (VALUES {rows}) AS v WHERE v.column1 IS NOT NULL
    ON CONFLICT (key) DO UPDATE SET at_ms = excluded.at_ms, window_ms = excluded.window_ms
    WHERE abs(excluded.at_ms - call_seen.at_ms) >= excluded.window_ms"""
_SIGHTING_ROW: Final = _row("TEXT", "BIGINT", "BIGINT", "BIGINT")

Sighting = tuple[str, int, int, int]
"""A row of call_seen: key, person, when, window."""


class _Identity(NamedTuple):
    """What one request is known by: the keys that decide, and the pair of numbers."""

    deciding: tuple[str, ...]
    pair: str


def _identity(call: NewBlockedCall) -> _Identity:
    pair = _key(call.person_id, "pair", call.caller)
    return _Identity(tuple(_key(call.person_id, "token", each) for each in call.tokens) or (pair,), pair)


def _key(*parts: object) -> str:
    # A digest: nothing that a caller or Twilio sent lies around in a table of keys.
    text = "\0".join(map(str, parts))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


async def _fresh(transaction: Transaction, dialect: Dialect, calls: Sequence[NewBlockedCall]) -> list[bool]:
    """Which calls are counted. A call with tokens is judged by them, a bare one by its pair of numbers; both leave
    the pair behind, so that a bare repeat of either is known."""
    sightings: dict[str, Sighting] = {}
    deciding: list[tuple[str, ...]] = []
    for call in calls:
        identity = _identity(call)
        repeated = any(key in sightings for key in identity.deciding)
        deciding.append(() if repeated else identity.deciding)
        window_ms = TOKEN_REPEAT_MS if call.tokens else BARE_REPEAT_MS
        for key in identity.deciding:
            sightings.setdefault(key, (key, call.person_id, call.created_at_ms, window_ms))
        sightings.setdefault(identity.pair, (identity.pair, call.person_id, call.created_at_ms, 0))
    seen = list(sightings.values())
    repeated_sql = _REPEATED.replace("{aggregate}", _AGGREGATE[dialect])
    answers = await _run(transaction, repeated_sql, _SIGHTING_ROW, seen)
    known = {key for (text,) in answers for key in msgspec.json.decode(text or "[]")}
    await _run(transaction, _SEE, _SIGHTING_ROW, seen)
    return [bool(keys) and known.isdisjoint(keys) for keys in deciding]


async def _run(transaction: Transaction, sql: str, row: str, rows: Sequence[tuple[Value, ...]]) -> list[Row]:
    """Run a statement on many rows of parameters at once: one step in the database, not one for each."""
    answers: list[Row] = []
    for start in range(0, len(rows), _MAX_ROWS):
        chunk = rows[start : start + _MAX_ROWS]
        size = 1 << (len(chunk) - 1).bit_length()
        binds: list[Value] = [value for each in chunk for value in each]
        binds.extend([None] * len(chunk[0]) * (size - len(chunk)))
        answers += await transaction.fetch(_statement(sql, row, size), *binds)
    return answers


@cache
def _statement(sql: str, row: str, size: int) -> str:
    return sql.replace("{rows}", ", ".join([row] * size))


async def _take_ids(transaction: Transaction, count: int) -> int:
    """Take the next ``count`` ids; returns the last one given."""
    [(last,)] = await transaction.fetch("UPDATE blocked_call_head SET id = id + ? RETURNING id", count)
    return int(last)


def _stored(number: int, call: NewBlockedCall) -> BlockedCall:
    return BlockedCall(number, call.person_id, call.caller_id, call.country_code, call.phone_number, call.created_at_ms)
