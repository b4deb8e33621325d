"""Whom a party has talked with, page by page (storage/partners.py), on every backend."""

from __future__ import annotations

import pytest

from storage import partners
from storage.contract import ActivityLog
from storage.database import Database
from storage.partners import count_partners, partner_pages
from tests.harness.postings import ACME, ALICE, BOB, CAROL, message


async def test_every_partner_comes_once_in_pages_of_a_bounded_size(
    log: ActivityLog, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partners, "PAGE_PARTIES", 2)
    others = [*range(1_000, 1_007), -9, -8]
    await log.append([message(each, ALICE) if each % 2 else message(ALICE, each) for each in others])
    await log.append([message(ALICE, BOB), message(BOB, ALICE), message(ALICE, ALICE), message(BOB, CAROL)])
    found = [page async for page in partner_pages(database, ALICE)]
    assert sorted(key for page in found for key in page) == sorted([*others, BOB])
    assert max(map(len, found)) == 2
    assert await count_partners(database, ALICE) == 10


async def test_a_company_has_partners_and_a_stranger_none(log: ActivityLog, database: Database) -> None:
    await log.append([message(BOB, ACME), message(ACME, CAROL, author=ALICE)])
    assert [page async for page in partner_pages(database, ACME)] == [[BOB, CAROL]]
    assert [page async for page in partner_pages(database, ALICE)] == []
    assert await count_partners(database, ALICE) == 0


@pytest.mark.parametrize(("theirs", "mine"), partners._COLUMNS)
async def test_a_page_is_read_from_an_index_in_its_order(database: Database, theirs: str, mine: str) -> None:
    sql = f"SELECT {theirs} FROM conversation WHERE {mine} = 1 AND {theirs} > 2 ORDER BY {theirs} LIMIT 3"
    async with database.transaction() as transaction:
        if database.dialect == "postgresql":
            # Of a table with nothing in it the planner would read all.
            await transaction.execute("SET LOCAL enable_seqscan = off")
            await transaction.execute("SET LOCAL enable_bitmapscan = off")
        explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
        plan = " ".join(str(row[-1]) for row in await transaction.fetch(f"{explain} {sql}"))
    assert "COVERING INDEX" in plan or "Index Only Scan" in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
