"""A batch that is gone through one by one: repeats, and activities about others of the same batch.

``look_up`` reads whatever of the stored log may matter; ``Careful`` then decides without any I/O, by the same rules as
the constraints. Neither holds a lock: should another node store a repeat between the look and the write, a constraint
refuses the write, and the next look sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from protocol.activity import Activity, ActivityType
from storage.contract import Posting, Refusal, Result, Stored
from storage.postgresql.reads import COLUMNS, activities

ABOUT = frozenset({ActivityType.chat_read_indicator, ActivityType.chat_reaction_emoji})

_Keyed = tuple[Activity, bytes | None]


class Known(NamedTuple):
    """What is stored: by (author, idempotency key), by (author, message id), and each message's author."""

    by_key: dict[tuple[int, str], _Keyed]
    by_message: dict[tuple[int, str], Activity]
    messages: dict[str, list[tuple[int, Activity]]]


class Careful:
    """What becomes of each posting. ``kept``: positions of those to store; ``about``: theirs.

    Ids are given when the batch is stored. Until then the first one that is kept is -1, the next one -2, and so on, in
    ``about`` as well.
    """

    def __init__(self, postings: Sequence[Posting], known: Known) -> None:
        self.kept: list[int] = []
        self.about: list[int | None] = []
        self._results: list[Result] = []
        self._known = known
        for position, posting in enumerate(postings):
            result, about = self._decide(-len(self.kept) - 1, posting)
            self._results.append(result)
            if isinstance(result, Stored) and not result.duplicate:
                self.kept.append(position)
                self.about.append(about)
                self._remember(posting, result.activity)

    def results(self, previous_head: int) -> list[Result]:
        """One for each posting, in order, once those that are kept are stored after ``previous_head``."""
        return [_numbered(result, previous_head) for result in self._results]

    def _decide(self, number: int, posting: Posting) -> tuple[Result, int | None]:
        first = self._first_answer(posting)
        if first is not None:
            return first, None
        about = self._message(posting) if posting.type in ABOUT else None
        if about is None and posting.type in ABOUT:
            return Refusal.MESSAGE_NOT_FOUND, None
        return Stored(activity(number, posting), False), about

    def _first_answer(self, posting: Posting) -> Result | None:
        if posting.idempotency_key is not None:
            keyed = self._known.by_key.get((posting.author, posting.idempotency_key))
            if keyed is not None:
                return Stored(keyed[0], True) if keyed[1] == posting.idempotency_hash else Refusal.KEY_REUSED
        if posting.type == ActivityType.chat_message and posting.message_id is not None:
            first = self._known.by_message.get((posting.author, posting.message_id))
            if first is not None:
                same = (first.sender, first.receiver) == (posting.sender, posting.receiver)
                return Stored(first, True) if same else Refusal.MESSAGE_ID_REUSED
        return None

    def _message(self, posting: Posting) -> int | None:
        """The message between the same two that it is about: the other side's first, then one's own."""
        found = self._known.messages.get(posting.message_id or "", ())
        for sides in ((posting.receiver, posting.sender), (posting.sender, posting.receiver)):
            for author, message in found:
                if (message.sender, message.receiver) == sides and (sides[0] < 0 or author == sides[0]):
                    return message.id
        return None

    def _remember(self, posting: Posting, stored: Activity) -> None:
        if posting.idempotency_key is not None:
            self._known.by_key[posting.author, posting.idempotency_key] = (stored, posting.idempotency_hash)
        if posting.type == ActivityType.chat_message and posting.message_id is not None:
            self._known.by_message[posting.author, posting.message_id] = stored
            self._known.messages.setdefault(posting.message_id, []).append((posting.author, stored))


def _numbered(result: Result, previous_head: int) -> Result:
    if isinstance(result, Stored) and result.activity.id < 0:
        return Stored(msgspec.structs.replace(result.activity, id=previous_head - result.activity.id), result.duplicate)
    return result


async def look_up(connection: Any, postings: Sequence[Posting], seconds: float) -> Known:
    """Read the stored repeats of these postings, and the messages that they are about. ``seconds``: a read's limit."""
    known = Known({}, {}, {})
    keyed = [each for each in postings if each.idempotency_key is not None]
    if keyed:
        keys = [key_bytes(each.idempotency_key) for each in keyed]
        rows = await connection.fetch(_BY_KEY, [each.author for each in keyed], keys, timeout=seconds)
        for posting, row in ((keyed[row[0] - 1], row) for row in rows):
            known.by_key[posting.author, posting.idempotency_key or ""] = (activities([row], 2)[0], row[1])
    await _messages(connection, postings, known, seconds)
    return known


async def _messages(connection: Any, postings: Sequence[Posting], known: Known, seconds: float) -> None:
    """Chat messages by (author, message id): of the postings themselves and of what they are about."""
    wanted: dict[tuple[int, str], None] = {}
    for posting in postings:
        if posting.message_id is not None:
            for author in {posting.author, posting.sender, posting.receiver}:
                wanted[author, posting.message_id] = None
    if not wanted:
        return
    arguments = [author for author, _ in wanted], [message_id for _, message_id in wanted]
    seen: set[int] = set()
    for row in await connection.fetch(_BY_MESSAGE, *arguments, timeout=seconds):
        [message] = activities([row], 1)
        if message.id not in seen and message.message_id is not None:
            seen.add(message.id)
            known.by_message[row[0], message.message_id] = message
            known.messages.setdefault(message.message_id, []).append((row[0], message))


def activity(number: int, posting: Posting) -> Activity:
    """The row that a posting becomes."""
    return Activity(
        number,
        posting.type,
        posting.sender,
        posting.receiver,
        posting.call_time,
        posting.message,
        posting.message_id,
        posting.created_at_ms,
    )


def key_bytes(key: str | None) -> bytes | None:
    """An idempotency key as it is stored."""
    return None if key is None else key.encode("utf-8", "surrogateescape")


_STORED = ", ".join(f"a.{column.strip()}" for column in COLUMNS.split(","))
_BY_KEY = f"""
    SELECT given.number, a.idempotency_hash, {_STORED}
    FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY AS given (author, key, number)
    JOIN activity AS a ON a.author = given.author AND a.idempotency_key = given.key
    WHERE a.idempotency_key IS NOT NULL"""
_BY_MESSAGE = f"""
    SELECT a.author, {_STORED} FROM unnest($1::bigint[], $2::text[]) AS given (author, message_id)
    JOIN activity AS a ON a.author = given.author AND a.message_id = given.message_id AND a.type = 0
    UNION ALL
    SELECT a.author, {_STORED} FROM unnest($1::bigint[], $2::text[]) AS given (sender, message_id)
    JOIN activity AS a ON a.sender = given.sender AND a.message_id = given.message_id AND a.type = 0 AND a.sender < 0"""
