"""Finding people and companies for operators, on every database."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from server.services.operator.directory_search import (
    CompanyOfPerson,
    DirectorySearch,
    FoundCompany,
    FoundPerson,
    read_text,
)
from storage.database import Database

PEOPLE = [
    (1, "Jane", "A.", "Smith"),
    (2, "Janet", None, "Smithers"),
    (3, "Élise", None, "Muñoz"),
    (4, "50%", None, "_under"),
    (2025, "Bob", None, None),
]
NUMBERS = [
    ("+12025550101", "person", 1),
    ("+12025550199", "person", 2),
    ("+442071838750", "person", 3),
    ("+18005550100", "company", 9),
    ("+12025550177", "contact", 77),
]


@pytest.fixture
async def search(database: Database) -> DirectorySearch:
    async with database.transaction() as transaction:
        await transaction.execute_many(
            "INSERT INTO person (id, first_name, middle_name, last_name) VALUES (?, ?, ?, ?)", PEOPLE
        )
        await transaction.execute_many(
            "INSERT INTO company (id, name) VALUES (?, ?)", [(9, "Acme"), (10, "ACME Tools")]
        )
        await transaction.execute_many("INSERT INTO member (company_id, person_id) VALUES (?, ?)", [(9, 1), (10, 1)])
        await transaction.execute_many("INSERT INTO phone (e164, owner_kind, owner_id) VALUES (?, ?, ?)", NUMBERS)
        await transaction.execute(
            "INSERT INTO buzz_number (id, e164, state, person_id, changed_at_ms) VALUES (?, ?, 'allocated', ?, 0)",
            "n1", "+12385551629", 2,
        )  # fmt: skip
    return DirectorySearch(database)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("jane", [1, 2]),
        ("JANE SMITH", [1, 2]),
        ("smithers", [2]),
        ("smith jane", [1, 2]),
        ("jane  bob", []),
        ("élise", [3]),
        ("ÉLISE", [3]),
        ("muñ", [3]),
        ("50%", [4]),
        ("%", [4]),
        ("_", [4]),
        ("' OR 1=1 --", []),
        ("+1202555", [1, 2]),
        ("1 (202) 555-0101", [1]),
        ("+1238", [2]),
        ("442071838750", [3]),
        ("3", [3]),
        ("2025", [2025]),
        ("99999999999999999999999", []),
        ("contact", []),
    ],
)
async def test_people_are_found_by_name_number_or_id(search: DirectorySearch, text: str, ids: Sequence[int]) -> None:
    assert [each.id for each in await search.people(read_text(text), 50)] == ids


async def test_a_person_is_shown_with_numbers_and_companies(search: DirectorySearch) -> None:
    companies = (CompanyOfPerson(9, "Acme"), CompanyOfPerson(10, "ACME Tools"))
    [jane] = await search.people(read_text("Jane A. Smith"), 50)
    assert jane.companies in (companies, companies[::-1])
    assert (jane.first_name, jane.middle_name, jane.last_name) == ("Jane", "A.", "Smith")
    assert await search.people(read_text("Janet"), 50) == [
        FoundPerson(2, "Janet", None, "Smithers", ("+12025550199",), "+12385551629", ())
    ]


@pytest.mark.parametrize(("text", "ids"), [("acme", [9, 10]), ("tools", [10]), ("+1800", [9]), ("10", [10]), ("x", [])])
async def test_companies_likewise(search: DirectorySearch, text: str, ids: Sequence[int]) -> None:
    found = await search.companies(read_text(text), 50)
    assert [each.id for each in found] == ids
    if 9 in ids:
        assert found[0] == FoundCompany(9, "Acme", ("+18005550100",))


async def test_pages_go_on_after_an_id(search: DirectorySearch) -> None:
    assert [each.id for each in await search.people(read_text("jan"), 1)] == [1]
    assert [each.id for each in await search.people(read_text("jan", 1), 1)] == [2]
    assert await search.people(read_text("jan", 2), 1) == []
