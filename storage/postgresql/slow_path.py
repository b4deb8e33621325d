"""Reads what is already stored of a batch that a constraint refused, for ``storage/log_rules.py`` to decide.

The reading holds no lock: if another node stores a repeat between it and the write, a constraint refuses the write, and
the next reading sees the repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protocol.activity import ActivityType
from storage.contract import Posting
from storage.log_rules import ABOUT, Known, both_ways
from storage.postgresql.reads import COLUMNS, activities


async def look_up(connection: Any, postings: Sequence[Posting], seconds: float) -> Known:
    """Read the stored repeats of these postings, and the messages that they refer to. ``seconds``: a read's limit."""
    known = Known.nothing()
    keyed = [each for each in postings if each.idempotency_key is not None]
    if keyed:
        keys = [key_bytes(each.idempotency_key) for each in keyed]
        rows = await connection.fetch(_BY_KEY, [each.author for each in keyed], keys, timeout=seconds)
        for posting, row in ((keyed[row[0] - 1], row) for row in rows):
            known.add_key(posting.author, posting.idempotency_key or "", activities([row], 2)[0], row[1])
    await _messages(connection, postings, known, seconds)
    return known


async def _messages(connection: Any, postings: Sequence[Posting], known: Known, seconds: float) -> None:
    """Read chat messages with the postings' message ids: their author's own, and those that they may refer to."""
    by_author: dict[tuple[int, str], None] = {}
    by_company: dict[tuple[int, int, str], None] = {}
    for posting in postings:
        if posting.message_id is None:
            continue
        if posting.type == ActivityType.chat_message:
            by_author[posting.author, posting.message_id] = None
        if posting.type in ABOUT:
            for sender, receiver in both_ways(posting):
                if sender > 0:
                    by_author[sender, posting.message_id] = None
                else:
                    by_company[sender, receiver, posting.message_id] = None
    if by_author or by_company:
        arguments = [list(each) for each in (*_columns(by_author, 2), *_columns(by_company, 3))]
        for row in await connection.fetch(_MESSAGES, *arguments, timeout=seconds):
            [message] = activities([row], 1)
            known.add_message(row[0], message)


def _columns(rows: dict[Any, None], width: int) -> Sequence[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def key_bytes(key: str | None) -> bytes | None:
    """Return an idempotency key as it is stored."""
    return None if key is None else key.encode("utf-8", "surrogateescape")


_STORED = ", ".join(f"a.{column.strip()}" for column in COLUMNS.split(","))
_BY_KEY = f"""
    SELECT given.number, a.idempotency_hash, {_STORED}
    FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY AS given (author, key, number)
    JOIN activity AS a ON a.author = given.author AND a.idempotency_key = given.key
    WHERE a.idempotency_key IS NOT NULL"""
# Any number of a company's members may have used the same message id: one of theirs is enough.
_MESSAGES = f"""
    SELECT a.author, {_STORED} FROM unnest($1::bigint[], $2::text[]) AS given (author, message_id)
    JOIN activity AS a ON a.author = given.author AND a.message_id = given.message_id AND a.type = 0
    UNION ALL
    SELECT found.* FROM unnest($3::bigint[], $4::bigint[], $5::text[]) AS given (sender, receiver, message_id)
    CROSS JOIN LATERAL (
        SELECT a.author, {_STORED} FROM activity AS a
        WHERE a.sender = given.sender AND a.receiver = given.receiver AND a.message_id = given.message_id
            AND a.type = 0 AND a.sender < 0
        LIMIT 1
    ) AS found"""
