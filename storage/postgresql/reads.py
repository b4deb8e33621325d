"""The SQL that reads the log on PostgreSQL: many pages in one statement, each merged by index, without a sort.

Each page is a LATERAL subquery of its own: its branches are ranges of (sender, id) and (receiver, id), which the
planner merges in id order (MergeAppend) and stops at the limit. The cost depends on what is returned. Each branch
states its order and limit itself: otherwise the planner appends the branches and sorts.

Around each page a window function adds up the sizes of its rows, in their order, and leaves out those over the budget
(:func:`_cut`). A message's size is known without reading it; only messages that are returned are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from protocol.activity import Activity
from storage.contract import ROW_BYTES, Range

COLUMNS = "id, type, sender, receiver, call_time, message, message_id, created_at_ms"
_SIZE = f"({ROW_BYTES} + coalesce(octet_length(message), 0))"


@lru_cache(maxsize=64)
def pages(parties: int, newest_first: bool, part: bool = False) -> str:
    """Return the SQL for the pages of many readers with this many parties each; parameters: :func:`pages_binds`.

    ``sender IN mine`` and ``receiver IN mine AND sender NOT IN mine``: no row is returned twice. With ``part`` these
    are only some of one reader's parties, and one more parameter is the array of all of them.
    """
    mine = [f"given.p{number}" for number in range(1, parties + 1)]
    order = _order(newest_first, "given.most")
    others = f"AND sender <> ALL (${parties + 5}::bigint[])" if part else f"AND sender NOT IN ({', '.join(mine)})"
    sent = [f"(SELECT {COLUMNS} FROM activity WHERE {_within('sender', party)} {order})" for party in mine]
    received = [
        f"(SELECT {COLUMNS} FROM activity WHERE {_within('receiver', party)} {others} {order})" for party in mine
    ]
    page = _cut(f"{' UNION ALL '.join([*sent, *received])} {order}", newest_first, "given.most", "given.budget")
    names = ", ".join([*(each.removeprefix("given.") for each in mine), "after", "before", "most", "budget"])
    return f"SELECT given.number, page.* FROM {_given(parties + 4, names)} CROSS JOIN LATERAL ({page}) AS page"


def pages_binds(ranges: Sequence[Range]) -> list[list[int]]:
    """Return the parameters of :func:`pages`: one array for each of the parties, then after, before, the two limits."""
    columns = [list(column) for column in zip(*(each.parties for each in ranges), strict=True)]
    return [
        *columns,
        [each.after for each in ranges],
        [each.before for each in ranges],
        [each.limit for each in ranges],
        [each.max_bytes for each in ranges],
    ]


@lru_cache(maxsize=2)
def conversation_pages(newest_first: bool) -> str:
    """Return the SQL for one page for each of many pairs of parties; arrays: low, high, after, before, most, budget."""
    within = _within("conversation", "conversation_of.id")
    rows = f"SELECT {COLUMNS} FROM activity WHERE {within} {_order(newest_first, 'given.most')}"
    page = _cut(rows, newest_first, "given.most", "given.budget")
    return f"""SELECT given.number, page.* FROM {_given(6, "low, high, after, before, most, budget")}
        JOIN conversation AS conversation_of ON conversation_of.low = given.low AND conversation_of.high = given.high
        CROSS JOIN LATERAL ({page}) AS page"""


def activities(rows: Iterable[Any], skip: int = 0) -> list[Activity]:
    """Convert rows to activities; :data:`COLUMNS` begin after ``skip`` other columns."""
    return [activity(*row[skip:]) for row in rows]


def activity(
    number: int,
    kind: int,
    sender: int,
    receiver: int,
    call_time: int | None,
    message: bytes | None,
    message_id: str | None,
    created_at_ms: int,
) -> Activity:
    """Convert a row of :data:`COLUMNS` to an activity."""
    text = None if message is None else message.decode()
    return Activity(number, kind, sender, receiver, call_time, text, message_id, created_at_ms)


def _within(column: str, value: str) -> str:
    """Return the SQL for a range of the index (column, id). Bounds on both columns make the planner use this index."""
    return (
        f"{column} = {value} AND ({column}, id) > ({value}, given.after) AND ({column}, id) < ({value}, given.before)"
    )


def _order(newest_first: bool, most: str) -> str:
    """Return ORDER BY and LIMIT: one row more than the page may have, to learn whether there is more."""
    return f"ORDER BY id {'DESC' if newest_first else 'ASC'} LIMIT {most} + 1"


def _cut(rows: str, newest_first: bool, most: str, budget: str) -> str:
    """Return the SQL that cuts a page from ordered rows of :data:`COLUMNS`, each with whether another row follows."""
    return f"""SELECT {COLUMNS}, more FROM (
        SELECT {COLUMNS}, lead(id) OVER in_order IS NOT NULL AS more, row_number() OVER in_order AS place,
               sum({_SIZE}) OVER in_order - {_SIZE} AS bytes_before
        FROM ({rows}) AS rows
        WINDOW in_order AS (ORDER BY id {"DESC" if newest_first else "ASC"} ROWS UNBOUNDED PRECEDING)
    ) AS counted WHERE place <= {most} AND bytes_before < {budget}"""


def _given(arrays: int, names: str) -> str:
    casts = ", ".join(f"CAST(${number} AS bigint[])" for number in range(1, arrays + 1))
    return f"unnest({casts}) WITH ORDINALITY AS given ({names}, number)"


TAIL = _cut(f"SELECT {COLUMNS} FROM activity WHERE id > $1 {_order(False, '$2::bigint')}", False, "$2", "$3")

CONVERSATIONS = f"""
    SELECT newest.mine, newest.other, (
        SELECT count(*) FROM (
            SELECT 1 FROM activity WHERE conversation = newest.conversation AND type = 0 AND sender <> newest.mine
            AND message IS NOT NULL AND id > coalesce((SELECT about FROM read_mark
                               WHERE conversation = newest.conversation AND party = newest.mine), 0) LIMIT $3
        ) AS unread), coalesce((SELECT about FROM read_mark
            WHERE conversation = newest.conversation AND party = newest.other), 0),
        {", ".join(f"newest.{column.strip()}" for column in COLUMNS.split(","))}, newest.more
    FROM (
        SELECT latest.*, lead(id) OVER (ORDER BY id DESC) IS NOT NULL AS more, rank() OVER (ORDER BY id DESC) AS place,
               coalesce(sum({_SIZE}) OVER (
                   ORDER BY id DESC RANGE UNBOUNDED PRECEDING EXCLUDE GROUP), 0) AS bytes_before
        FROM (
            SELECT given.mine, pair.other, pair.id AS conversation, last.*
            FROM unnest($1::bigint[]) AS given (mine)
            CROSS JOIN LATERAL (
                SELECT id, high AS other FROM conversation WHERE low = given.mine
                UNION ALL SELECT id, low FROM conversation WHERE high = given.mine AND low <> given.mine
            ) AS pair
            CROSS JOIN LATERAL (
                SELECT {COLUMNS} FROM activity WHERE conversation = pair.id ORDER BY id DESC LIMIT 1
            ) AS last
            WHERE last.id < $4 ORDER BY last.id DESC LIMIT $2::bigint + 2
        ) AS latest
    ) AS newest
    WHERE place <= $2 AND bytes_before < $5 ORDER BY id DESC"""
"""Conversations with the same newest activity have the same place, so that no page ends between them."""
