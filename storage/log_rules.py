"""The rules of the activity log: what a repeat is, and which message a reaction or a read indicator refers to.

Constraints enforce them in both databases, so that a batch of only new activities is stored in one step. A batch that a
constraint refuses takes the **slow path**: what is already stored of it is read (:class:`Known`), and :func:`decide`
decides each posting. Nothing here does I/O, so both databases give the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from protocol.activity import Activity, ActivityType
from storage.contract import Posting, Refusal, Result, Stored

ABOUT: Final = frozenset({ActivityType.chat_read_indicator, ActivityType.chat_reaction_emoji})
"""The types that are about a chat message: it must exist between the same two parties."""


_new = tuple.__new__


class Known(NamedTuple):
    """What is already stored of a batch: the repeats of its postings, and the messages that they refer to.

    ``by_key``: by author and idempotency key, each with the hash that was stored with it. ``by_message``: chat messages
    by author and message id. ``messages``: the same by message id alone, with their authors.
    """

    by_key: dict[tuple[int, str], tuple[Activity, bytes | None]]
    by_message: dict[tuple[int, str], Activity]
    messages: dict[str, list[tuple[int, Activity]]]

    @classmethod
    def nothing(cls) -> Known:
        """Return the value for a log that has stored nothing of the batch."""
        return cls({}, {}, {})

    def add(self, posting: Posting, stored: Activity) -> None:
        """Add a posting that was stored as this activity."""
        if posting.idempotency_key is not None:
            self.add_key(posting.author, posting.idempotency_key, stored, posting.idempotency_hash)
        if posting.type == ActivityType.chat_message:
            self.add_message(posting.author, stored)

    def add_key(self, author: int, key: str, stored: Activity, digest: bytes | None) -> None:
        """Add an activity that was stored with an idempotency key."""
        self.by_key[author, key] = (stored, digest)

    def add_message(self, author: int, stored: Activity) -> None:
        """Add a chat message."""
        if stored.message_id is not None and (author, stored.message_id) not in self.by_message:
            self.by_message[author, stored.message_id] = stored
            self.messages.setdefault(stored.message_id, []).append((author, stored))


class Decided(NamedTuple):
    """What happens to a batch: ``kept`` are the positions of the postings to store, ``about`` what each refers to.

    Ids are assigned when the postings are stored. Until then the first kept one is -1, the next one -2, and so on, in
    ``about`` and ``results`` alike.
    """

    kept: list[int]
    about: list[int | None]
    results: list[Result]

    def results_after(self, previous_head: int) -> list[Result]:
        """Return one result for each posting, in order, after the kept ones were stored after ``previous_head``."""
        return [_numbered(result, previous_head) for result in self.results]

    def about_after(self, previous_head: int) -> list[int | None]:
        """Return what each kept posting refers to, likewise."""
        return [previous_head - id if id is not None and id < 0 else id for id in self.about]


def decide(postings: Sequence[Posting], known: Known) -> Decided:
    """Decide each posting of a batch in order. Kept postings are added to ``known``."""
    decided = Decided([], [], [])
    for position, posting in enumerate(postings):
        result, about = _decide_one(-len(decided.kept) - 1, posting, known)
        decided.results.append(result)
        if isinstance(result, Stored) and not result.duplicate:
            decided.kept.append(position)
            decided.about.append(about)
            known.add(posting, result.activity)
    return decided


def first_answer(posting: Posting, known: Known) -> Result | None:
    """Return the answer to a repeat: the activity stored first, or a refusal; None if the posting is new.

    A repeat has its author's same idempotency key, or is a chat message with its author's same message id. If its body
    or its receiver differs, it is refused.
    """
    if posting.idempotency_key is not None:
        keyed = known.by_key.get((posting.author, posting.idempotency_key))
        if keyed is not None:
            return Stored(keyed[0], True) if keyed[1] == posting.idempotency_hash else Refusal.KEY_REUSED
    if posting.type == ActivityType.chat_message and posting.message_id is not None:
        first = known.by_message.get((posting.author, posting.message_id))
        if first is not None:
            same = (first.sender, first.receiver) == (posting.sender, posting.receiver)
            return Stored(first, True) if same else Refusal.MESSAGE_ID_REUSED
    return None


def message_about(posting: Posting, known: Known) -> int | None:
    """Return the id of the chat message that a posting refers to: the other side's first, then the author's own.

    The message is between the same two parties. A person's message was written by that person; a company's may have
    been written by any of its members.
    """
    found = known.messages.get(posting.message_id or "", ())
    for sides in both_ways(posting):
        for author, message in found:
            if (message.sender, message.receiver) == sides and (sides[0] < 0 or author == sides[0]):
                return message.id
    return None


def both_ways(posting: Posting) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (sender, receiver) of the messages that a posting can refer to, in the order of the search."""
    return (posting.receiver, posting.sender), (posting.sender, posting.receiver)


def activity(number: int, posting: Posting) -> Activity:
    """Return the activity that a posting becomes under this id."""
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


def all_new(postings: Sequence[Posting], previous_head: int) -> list[Result]:
    """Return the results of a batch that was stored completely after ``previous_head``."""
    # tuple.__new__ and one step for each posting: this runs for every activity.
    return [
        _new(Stored, (Activity(number, kind, sender, receiver, call_time, message, message_id, at_ms), False))
        for number, (kind, sender, receiver, _, call_time, message, message_id, at_ms, _, _) in enumerate(
            postings, previous_head + 1
        )
    ]


def _decide_one(number: int, posting: Posting, known: Known) -> tuple[Result, int | None]:
    first = first_answer(posting, known)
    if first is not None:
        return first, None
    about = message_about(posting, known) if posting.type in ABOUT else None
    if about is None and posting.type in ABOUT:
        return Refusal.MESSAGE_NOT_FOUND, None
    return Stored(activity(number, posting), False), about


def _numbered(result: Result, previous_head: int) -> Result:
    if isinstance(result, Stored) and result.activity.id < 0:
        return Stored(msgspec.structs.replace(result.activity, id=previous_head - result.activity.id), result.duplicate)
    return result
