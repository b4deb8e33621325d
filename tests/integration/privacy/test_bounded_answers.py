"""Answers with lists end at about 1 MiB, whatever their rows hold, and their Link goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from server.http.sending import ANSWER_BYTES
from tests.fakes.privacy_buzz import ACME, CODE, START_MS, Buzz

WIDE = "\x01"
"""A character that JSON writes with six."""


async def put(buzz: Buzz, into: str, rows: Sequence[Sequence[Any]]) -> None:
    """Put rows into the database as they are at their largest: making them over HTTP would take minutes."""
    async with buzz.node.database.transaction() as transaction:
        await transaction.execute_many(f"INSERT INTO {into} VALUES ({', '.join('?' * len(rows[0]))})", rows)


async def pages(buzz: Buzz, path: str, headers: dict[str, str], inside: str | None = None) -> list[list[Any]]:
    """Return the rows of each page; no answer has more than 1 MiB and one row, but for the fields around the list."""
    found = []
    following: str | None = path
    while following is not None:
        async with buzz.client.get(following, headers=headers) as response:
            body = await response.read()
            assert response.status == 200, body[:500]
            rows = json.loads(body)
            rows = rows if inside is None else rows[inside]
            largest = max((len(json.dumps(row)) for row in rows), default=0)
            assert len(body) < ANSWER_BYTES + largest + 1_000
            link = response.links.get("next")
            following = None if link is None else str(link["url"].relative())
        found.append(rows)
    return found


def whole(found: list[list[Any]], name: str) -> list[Any]:
    assert len(found) > 1, "it is more than one answer"
    return [row[name] for page in found for row in page]


async def test_the_log_of_deliveries(buzz: Buzz) -> None:
    await buzz.endpoint("https://hooks.example.com/")
    await put(
        buzz,
        "webhook_delivery (id, endpoint_id, request_id, event_name, with_recording, status, attempts, failures,"
        " created_at_ms, answer, error)",
        [(n, 1, "r", "privacy_request.test", False, "failed", 1, 1, 0, WIDE * 1_024, "x") for n in range(1, 401)],
    )
    found = await pages(buzz, "/admin/webhook-deliveries?limit=300", buzz.admin)
    assert whole(found, "id") == list(range(400, 0, -1))


async def test_the_endpoints(buzz: Buzz) -> None:
    url = "https://hooks.example.com/" + "x" * 2_000
    await put(
        buzz,
        "webhook_endpoint (id, company_id, url, format, enabled, api_key, secret, created_at_ms, updated_at_ms)",
        [(number, ACME, url, "json", True, "k", "s", 0, 0) for number in range(1, 1_001)],
    )
    assert whole(await pages(buzz, "/admin/webhook-endpoints", buzz.admin), "id") == list(range(1, 1_001))
    found = await pages(buzz, f"/admin/webhook-endpoints?company_id={ACME}&limit=7", buzz.admin)
    assert whole(found, "id") == list(range(1, 1_001))
    assert len(found[0]) == 7
    assert await pages(buzz, "/admin/webhook-endpoints?company_id=999", buzz.admin) == [[]]


async def test_an_endpoints_url_is_bounded(buzz: Buzz) -> None:
    body = {"company_id": ACME, "url": "https://hooks.example.com/" + "x" * 2_048}
    status, answer = await buzz.ask("POST", "/admin/webhook-endpoints", buzz.admin, json=body)
    assert (status, "'url'" in answer["error"]["message"]) == (400, True)


async def test_the_sources(buzz: Buzz) -> None:
    await put(
        buzz,
        "webhook_source (id, company_id, api_key, created_at_ms, updated_at_ms)",
        [(number, ACME, "k", 0, 0) for number in range(1, 1_001)],
    )
    assert whole(await pages(buzz, "/admin/webhook-sources", buzz.admin), "id") == list(range(1, 1_001))


async def test_the_service_codes(buzz: Buzz) -> None:
    codes = [f"c{number:05}" for number in range(1_200)]
    await put(
        buzz,
        "service_code (code, company_id, name, created_at_ms, updated_at_ms)",
        [(code, ACME, WIDE * 200, 0, 0) for code in codes],
    )
    assert whole(await pages(buzz, "/admin/service-codes", buzz.admin), "code") == [CODE, *codes]


async def test_the_audit_trail_of_a_request(buzz: Buzz) -> None:
    made = await buzz.submit()
    await put(
        buzz,
        "privacy_audit (request_id, revision, at_ms, actor, action, detail)",
        [(made, number, START_MS, "admin:x", "changed", WIDE * 1_000) for number in range(1, 701)],
    )
    found = await pages(buzz, f"/admin/privacy-requests/{made}", buzz.admin, "audit")
    assert len(whole(found, "action")) == 701


@pytest.mark.parametrize("path", ["/admin/privacy-deadlines?limit=200", "/admin/privacy-requests?limit=200"])
async def test_privacy_requests(buzz: Buzz, path: str) -> None:
    made = [await buzz.submit(first_name=f"N{number}") for number in range(70)]
    async with buzz.node.database.transaction() as transaction:
        await transaction.execute("UPDATE web_form_session SET other = ?", WIDE * 65_536)
    inside = "requests" if "deadlines" in path else None
    found = await pages(buzz, path, buzz.admin, inside)
    assert sorted(whole(found, "id")) == sorted(made)


async def test_the_public_keys_of_a_person(buzz: Buzz) -> None:
    await put(
        buzz,
        "public_key (id, person_id, device_id, algorithm, public_key, fingerprint, updated_at_ms, revoked_at_ms)",
        [
            (
                f"id{number}",
                7,
                f"d{number}",
                "x25519",
                "k" * 2_048,
                f"{number:04}",
                number // 3,
                None if number > 990 else 1,
            )
            for number in range(1_000)
        ],
    )
    headers = buzz.person(456)
    prints = whole(await pages(buzz, "/apps/buzz/public-key/7", headers), "fingerprint")
    assert sorted(prints) == [f"{number:04}" for number in range(1_000)]
    assert prints[:9] == sorted(prints[:9], key=lambda each: -(int(each) // 3))
    assert min(int(each) for each in prints[:9]) == 991, "those in force come first"
    found = await pages(buzz, "/apps/buzz/public-key/7?limit=400", headers)
    assert whole(found, "fingerprint") == prints
    for wrong in ("cursor=x", "cursor=2.1.a", "limit=0", "limit=1001"):
        assert (await buzz.ask("GET", f"/apps/buzz/public-key/7?{wrong}", headers))[0] == 400
