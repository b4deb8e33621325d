"""What every activity log promises (storage/contract.py)."""

from __future__ import annotations

import random

import pytest

from protocol.activity import Activity, ActivityType
from protocol.validation import MAX_ID
from storage.contract import (
    PAGE_BYTES,
    ROW_BYTES,
    ActivityLog,
    Conversation,
    Page,
    Posting,
    Range,
    Refusal,
    Stored,
)
from storage.database import Database
from storage.log_rules import Known, activity, decide
from storage.pages import size_of
from storage.postgresql.database import PostgresDatabase
from storage.postgresql.reads import pages, pages_binds
from storage.sqlite.reads import by_party, by_party_binds
from tests.harness.postings import ACME, ALICE, BOB, CAROL, message


async def ids(log: ActivityLog, *parties: int, **other: int) -> list[int]:
    [page] = await log.read([Range(parties, **other)])
    return [activity.id for activity in page.rows]


async def test_ids_rise_from_one_without_a_gap(log: ActivityLog) -> None:
    commit = await log.append([message(ALICE, BOB), message(BOB, ALICE)])
    assert [result.activity.id for result in commit.results if isinstance(result, Stored)] == [1, 2]
    assert (commit.previous_head, commit.head) == (0, 2)
    assert (await log.state()).head == 2


async def test_an_empty_batch_is_a_commit_that_takes_no_id(log: ActivityLog) -> None:
    for before in (0, 1):
        assert await log.append([]) == (before, before, [])
        commit = await log.append([message(ALICE, BOB)])
        assert (commit.previous_head, commit.head) == (before, before + 1)


async def test_each_party_reads_its_own_in_order(log: ActivityLog) -> None:
    await log.append([message(ALICE, BOB), message(BOB, CAROL), message(CAROL, ALICE), message(ALICE, ALICE)])
    assert await ids(log, ALICE) == [1, 3, 4]
    assert await ids(log, BOB) == [1, 2]
    assert await ids(log, ALICE, after=1) == [3, 4]
    assert await ids(log, ALICE, limit=2) == [1, 3]


async def test_a_member_reads_the_company_merged_and_nothing_twice(log: ActivityLog) -> None:
    await log.append([message(BOB, ACME), message(ALICE, ACME), message(ACME, BOB, author=ALICE), message(BOB, ALICE)])
    assert await ids(log, ALICE, ACME) == [1, 2, 3, 4]
    assert await ids(log, ACME) == [1, 2, 3]


async def test_more_parties_than_one_statement_takes(log: ActivityLog) -> None:
    parties = tuple(-number for number in range(100, 150))
    await log.append([message(ALICE, party) for party in parties] + [message(BOB, CAROL)])
    assert await ids(log, BOB, *parties) == list(range(1, 52))
    assert await ids(log, BOB, *parties, limit=3, newest_first=True) == [51, 50, 49]


async def test_a_conversation_and_newest_first(log: ActivityLog) -> None:
    await log.append([message(ALICE, BOB), message(ALICE, CAROL), message(BOB, ALICE), message(BOB, ACME)])
    assert await ids(log, ALICE, with_party=BOB) == [1, 3]
    assert await ids(log, ALICE, newest_first=True, limit=2) == [3, 2]
    assert await ids(log, ALICE, newest_first=True, before=3) == [2, 1]
    assert await ids(log, ALICE, ACME, with_party=ACME) == [4]


async def test_the_same_message_id_is_stored_once(log: ActivityLog) -> None:
    first = message(ALICE, BOB)
    again = first._replace(message="encrypted anew")
    commit = await log.append([first, again])
    stored = [result for result in commit.results if isinstance(result, Stored)]
    assert [(result.activity.id, result.duplicate) for result in stored] == [(1, False), (1, True)]
    assert stored[1].activity.message == "ciphertext"
    later = (await log.append([again, message(BOB, ALICE)])).results
    assert [isinstance(result, Stored) and result.activity.id for result in later] == [1, 2]


async def test_the_same_message_id_to_another_party_is_refused(log: ActivityLog) -> None:
    first = message(ALICE, BOB)
    commit = await log.append([first, first._replace(receiver=CAROL), message(CAROL, BOB)])
    assert commit.results[1] is Refusal.MESSAGE_ID_REUSED
    assert commit.head == 2


async def test_two_people_may_use_the_same_message_id(log: ActivityLog) -> None:
    first = message(ALICE, BOB)
    commit = await log.append([first, first._replace(sender=BOB, receiver=ALICE, author=BOB)])
    assert [isinstance(result, Stored) and result.duplicate for result in commit.results] == [False, False]


async def test_an_idempotency_key_counts_once_and_only_with_the_same_body(log: ActivityLog) -> None:
    call = message(ALICE, BOB, type=ActivityType.outgoing_call_missed, message=None, message_id=None)
    keyed = call._replace(idempotency_key="k", idempotency_hash=b"0" * 16)
    commit = await log.append([keyed, keyed, keyed._replace(idempotency_hash=b"1" * 16), call, call])
    first, repeat, other, *unkeyed = commit.results
    assert isinstance(first, Stored)
    assert isinstance(repeat, Stored)
    assert (first.duplicate, repeat.duplicate, repeat.activity.id) == (False, True, first.activity.id)
    assert other is Refusal.KEY_REUSED
    assert [isinstance(result, Stored) and result.duplicate for result in unkeyed] == [False, False]


@pytest.mark.parametrize("kind", [ActivityType.chat_reaction_emoji, ActivityType.chat_read_indicator])
async def test_a_reaction_needs_its_message_between_the_same_two(log: ActivityLog, kind: ActivityType) -> None:
    first = message(ALICE, BOB)
    text = "👍" if kind is ActivityType.chat_reaction_emoji else None
    reaction = first._replace(type=kind, sender=BOB, receiver=ALICE, author=BOB, message=text)
    commit = await log.append([first, reaction, reaction._replace(sender=CAROL, author=CAROL)])
    assert isinstance(commit.results[1], Stored)
    assert commit.results[2] is Refusal.MESSAGE_NOT_FOUND
    own = await log.append([reaction._replace(sender=ALICE, receiver=BOB, author=ALICE)])
    assert isinstance(own.results[0], Stored)


async def test_a_companys_message_is_found_whichever_member_wrote_it(log: ActivityLog) -> None:
    first = message(ACME, BOB, author=ALICE)
    await log.append([first])
    reaction = first._replace(
        type=ActivityType.chat_reaction_emoji, sender=BOB, receiver=ACME, author=BOB, message="👍"
    )
    assert isinstance((await log.append([reaction])).results[0], Stored)


async def test_members_who_used_the_same_message_id_are_told_apart_on_the_slow_path_too(log: ActivityLog) -> None:
    first = message(ACME, BOB, author=ALICE)
    await log.append([first, first._replace(author=CAROL)])
    reaction = first._replace(
        type=ActivityType.chat_reaction_emoji, sender=BOB, receiver=ACME, author=BOB, message="👍"
    )
    again, answered, lost = (await log.append([first, reaction, reaction._replace(receiver=CAROL)])).results
    assert isinstance(again, Stored)
    assert isinstance(answered, Stored)
    assert (again.activity.id, again.duplicate, answered.activity.id) == (1, True, 3)
    assert lost is Refusal.MESSAGE_NOT_FOUND


@pytest.mark.parametrize("seed", range(4))
async def test_every_batch_is_answered_by_the_rules_whichever_path_it_takes(log: ActivityLog, seed: int) -> None:
    chance = random.Random(seed)
    stored: list[Posting] = []
    for _ in range(30):
        known = Known.nothing()
        for number, posting in enumerate(stored, 1):
            known.add(posting, activity(number, posting))
        batch = [any_posting(chance) for _ in range(chance.choice((1, 1, 2, 8)))]
        decided = decide(batch, known)
        head = len(stored)
        assert await log.append(batch) == (head, head + len(decided.kept), decided.results_after(head))
        stored += [batch[position] for position in decided.kept]


def any_posting(chance: random.Random) -> Posting:
    """Return a posting with few possible values, so that repeats and reactions are frequent."""
    kind = chance.choice(
        (ActivityType.chat_message, ActivityType.chat_reaction_emoji, ActivityType.outgoing_call_missed)
    )
    author = chance.choice((ALICE, BOB))
    sender, receiver = chance.sample((author, chance.choice((BOB, CAROL)), ACME), 2)
    return message(
        sender,
        receiver,
        author,
        type=kind,
        message_id=None if kind is ActivityType.outgoing_call_missed else chance.choice("abc"),
        idempotency_key=chance.choice((None, None, "k", "l")),
        idempotency_hash=chance.choice((b"0" * 16, b"1" * 16)),
    )


async def test_conversations_show_the_newest_first_and_count_unread(log: ActivityLog) -> None:
    one, two = message(BOB, ALICE), message(BOB, ALICE)
    await log.append([one, two, message(ALICE, CAROL), message(BOB, ALICE)])
    seen = two._replace(type=ActivityType.chat_read_indicator, sender=ALICE, receiver=BOB, author=ALICE, message=None)
    await log.append([seen])
    found = await log.conversations([ALICE], 10)
    assert [(row.party, row.last.id, row.unread) for row in found.rows] == [(BOB, 5, 1), (CAROL, 3, 0)]


async def test_clear_takes_the_history_but_never_gives_an_id_twice(log: ActivityLog) -> None:
    await log.append([message(ALICE, BOB), message(BOB, CAROL)])
    before = (await log.state()).epoch
    epoch = await log.clear(ALICE)
    assert epoch != before
    assert await ids(log, ALICE) == []
    assert await ids(log, BOB) == [2]
    again = await log.append([message(ALICE, BOB)])
    assert again.head == 3
    assert [row.party for row in (await log.conversations([ALICE], 10)).rows] == [BOB]


async def test_erasure_leaves_tombstones(log: ActivityLog) -> None:
    await log.append([message(ALICE, BOB), message(BOB, ALICE), message(ACME, BOB, author=ALICE)])
    assert await log.erase(ALICE) == 1
    [page] = await log.read([Range((BOB,))])
    assert [(activity.id, activity.message) for activity in page.rows] == [
        (1, None),
        (2, "ciphertext"),
        (3, "ciphertext"),
    ]


async def test_bodies_can_be_emptied_by_age(log: ActivityLog) -> None:
    await log.append([message(ALICE, BOB, created_at_ms=10), message(ALICE, BOB, created_at_ms=20)])
    assert await log.erase_before(15, now_ms=30, limit=100) == 1
    assert await log.erase_before(15, now_ms=30, limit=100) == 0


async def test_every_change_of_what_was_stored_is_counted(log: ActivityLog) -> None:
    await log.append([message(ALICE, BOB, created_at_ms=10), message(BOB, ALICE, created_at_ms=20)])
    assert (await log.state()).amendments == 0
    await log.erase(CAROL)
    assert (await log.state()).amendments == 0
    await log.erase(ALICE)
    assert (await log.state()).amendments == 1
    await log.erase_before(100, now_ms=100, limit=100)
    await log.erase_before(100, now_ms=100, limit=100)
    assert (await log.state()).amendments == 2


async def test_every_character_of_a_message_survives(log: ActivityLog) -> None:
    text = "".join(map(chr, range(0x80))) + "é😀\u2028\\\"'"
    await log.append([message(ALICE, BOB, text=text)])
    [page] = await log.read([Range((ALICE,))])
    assert [activity.message for activity in page.rows] == [text]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_reads_are_range_scans_of_an_index(database: Database, newest_first: bool) -> None:
    wanted = Range((ALICE, ACME), limit=10, newest_first=newest_first)
    if isinstance(database, PostgresDatabase):
        steps = await _postgres_plan(database, wanted)
        assert sum("Index Cond: ((ROW(" in step for step in steps) == 4
        assert sum("Merge Append" in step for step in steps) == 1
        assert not any(step.endswith(("Sort", "Bitmap Heap Scan", "Seq Scan")) for step in steps)
        return
    plan = await database.fetch(
        "EXPLAIN QUERY PLAN " + by_party(2, 2, newest_first), *by_party_binds(wanted, wanted.parties)
    )
    steps = [str(row[-1]) for row in plan]
    ranges = [step for step in steps if step.startswith("SEARCH i USING PRIMARY KEY (party=? AND activity>?")]
    rows = [step for step in steps if step.startswith("SEARCH activity USING INTEGER PRIMARY KEY")]
    assert len(ranges) == len(rows) == 2
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN activity") for step in steps)


async def _postgres_plan(database: PostgresDatabase, wanted: Range) -> list[str]:
    """The plan's lines, the names of its nodes last: ``->  Limit``, ``Index Cond: …``."""
    sql = f"EXPLAIN (COSTS OFF) {pages(len(wanted.parties), wanted.newest_first)}"

    async with database.connection() as connection, connection.transaction():
        # A small table that was just analysed is cheaper to scan: the question is whether the index serves.
        for other in ("seqscan", "bitmapscan", "sort"):
            await connection.execute(f"SET LOCAL enable_{other} = off")
        return [line for (line,) in await connection.fetch(sql, *pages_binds([wanted, wanted]))]


async def test_the_tail_is_everybodys_in_order(log: ActivityLog) -> None:
    await log.append([message(ALICE, BOB), message(BOB, CAROL), message(CAROL, ACME)])
    assert [activity.id for activity in (await log.tail(1, 10)).rows] == [2, 3]
    assert [activity.id for activity in (await log.tail(0, 2)).rows] == [1, 2]
    assert await log.tail(3, 10) == ([], False)


async def test_many_people_are_read_in_one_call(log: ActivityLog) -> None:
    await log.append([message(ALICE, BOB), message(BOB, CAROL), message(CAROL, ACME), message(BOB, ALICE)])
    found = await log.read(
        [
            Range((ALICE,)),
            Range((CAROL, ACME), after=1),
            Range((BOB,), limit=1),
            Range((ALICE,), with_party=BOB, newest_first=True),
            Range((BOB,), newest_first=True, limit=2),
        ]
    )
    assert [[activity.id for activity in page.rows] for page in found] == [[1, 4], [2, 3], [1], [4, 1], [4, 2]]


async def test_a_repeat_in_a_batch_does_not_make_two_pairs_share_a_conversation(log: ActivityLog) -> None:
    first = message(ALICE, BOB)
    await log.append([first])
    await log.append([first, message(ALICE, CAROL, text="for Carol alone")])
    await log.append([message(BOB, ACME)])
    assert await ids(log, ALICE, with_party=CAROL) == [2]
    assert await ids(log, BOB, with_party=ACME) == [3]
    assert [(row.party, row.last.id) for row in (await log.conversations([BOB], 10)).rows] == [(ACME, 3), (ALICE, 1)]


# --- bounded in bytes -------------------------------------------------------------------------------------------------

LARGE = "é" * 20_000
"""40,000 bytes, 20,000 characters."""


def counted(page: Page[Activity]) -> int:
    return sum(ROW_BYTES + len((row.message or "").encode()) for row in page.rows)


async def all_pages(log: ActivityLog, wanted: Range) -> list[Page[Activity]]:
    """Every page of a range, by its cursor."""
    pages: list[Page[Activity]] = []
    more = True
    while more:
        [page] = await log.read([wanted])
        pages.append(page)
        more = page.more
        if page.rows:
            wanted = wanted.beyond(page.rows[-1].id)
    return pages


def mixed(count: int) -> list[Posting]:
    """Small, middling and large ones, to and from Alice and to a company and its member, every eighth of them Bob's."""
    texts = ("x" * 300, "y" * 1_024, "z" * 1_025, LARGE, "\x01" * 5_000, "\x00", "w" * 65_536)
    pairs = ((ALICE, BOB), (BOB, ALICE), (ACME, ALICE), (ALICE, ACME), (BOB, ACME), (ALICE, CAROL), (CAROL, ALICE))
    return [message(*pairs[n % len(pairs)], text=texts[n // 3 % len(texts)]) for n in range(count)]


BUDGETS = [1, 5_000, 100_000, PAGE_BYTES]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("max_bytes", BUDGETS)
async def test_a_page_ends_at_its_bytes_and_the_next_one_goes_on(
    log: ActivityLog, max_bytes: int, newest_first: bool
) -> None:
    postings = mixed(63)
    await log.append(postings)
    for parties, other in (((ALICE,), None), ((ALICE, ACME), None), ((ALICE, ACME), BOB), ((ALICE, ACME), ACME)):
        wanted = Range(parties, with_party=other, newest_first=newest_first, max_bytes=max_bytes)
        pages = await all_pages(log, wanted)
        rows = [row for page in pages for row in page.rows]
        theirs = [
            number
            for number, each in enumerate(postings, 1)
            if {each.sender, each.receiver} & set(parties) and (other is None or other in (each.sender, each.receiver))
        ]
        assert [row.id for row in rows] == (theirs[::-1] if newest_first else theirs)
        assert all(row.message == postings[row.id - 1].message for row in rows)
        assert all(counted(page) - size_of(page.rows[-1]) < max_bytes for page in pages)
        assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]


async def test_a_page_of_somebody_with_many_parties_ends_at_its_bytes(log: ActivityLog) -> None:
    """Read in several statements: nothing beyond the end of one of them is taken from another."""
    companies = tuple(-number for number in range(100, 140))
    postings = [message(BOB, companies[n * 7 % 40], text="x" * (40_000 if n % 3 else 10)) for n in range(120)]
    await log.append(postings)
    for newest_first in (False, True):
        for other in (None, BOB):
            wanted = Range((ALICE, *companies), with_party=other, newest_first=newest_first, max_bytes=200_000)
            pages = await all_pages(log, wanted)
            ids = [row.id for page in pages for row in page.rows]
            assert ids == (list(range(120, 0, -1)) if newest_first else list(range(1, 121)))
            assert all(counted(page) - size_of(page.rows[-1]) < 200_000 for page in pages)


async def test_whether_there_is_more_is_told_exactly(log: ActivityLog) -> None:
    await log.append([message(ALICE, BOB, text="x" * 3_000) for _ in range(6)])
    for limit, more in ((5, True), (6, False), (7, False)):
        [page] = await log.read([Range((ALICE,), limit=limit)])
        assert (len(page.rows), page.more) == (min(limit, 6), more)
        assert (await log.tail(0, limit)).more is more
    [page] = await log.read([Range((ALICE,), max_bytes=6 * (3_000 + ROW_BYTES))])
    assert (len(page.rows), page.more) == (6, False), "the budget is used up and nothing is left"
    assert await log.read([Range((CAROL,))]) == [([], False)]


async def test_the_tail_ends_at_its_bytes(log: ActivityLog) -> None:
    postings = mixed(42)
    await log.append(postings)
    rows: list[Activity] = []
    more = True
    while more:
        page = await log.tail(rows[-1].id if rows else 0, 500, max_bytes=50_000)
        assert counted(page) - size_of(page.rows[-1]) < 50_000
        rows += page.rows
        more = page.more
    assert [row.message for row in rows] == [each.message for each in postings]


async def test_conversations_end_at_their_bytes_and_go_on_before_the_last(log: ActivityLog) -> None:
    people = range(100, 130)
    await log.append([message(ALICE, person, text=LARGE) for person in people])
    # A conversation of two of her parties is listed by both, with the same newest activity: no page ends between them.
    await log.append([message(ALICE, ACME, text=LARGE), message(ALICE, ALICE, text=LARGE)])
    found: list[Conversation] = []
    more = True
    while more:
        before = found[-1].last.id if found else MAX_ID
        page = await log.conversations([ALICE, ACME], 1_000, before, max_bytes=100_000)
        assert len(page.rows) <= 4, "three reach 100,000 bytes"
        found += page.rows
        more = page.more
    assert [(row.mine, row.party) for row in found[3:]] == [(ALICE, person) for person in reversed(people)]
    assert {(row.mine, row.party) for row in found[:3]} == {(ALICE, ALICE), (ALICE, ACME), (ACME, ALICE)}
    for limit in (1, 2, 3):
        page = await log.conversations([ALICE, ACME], limit)
        assert (len(page.rows), page.more) == (1 if limit == 1 else 3, True)
