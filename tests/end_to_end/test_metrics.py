"""What a scraper sees: known series from the start, closes by the client's code, refused sends, its own scope."""

from __future__ import annotations

import re

import pytest

from protocol.errors import CloseCode
from server.runtime.telemetry import SEND_RESULTS
from tests.harness.backend import POSTGRESQL, SQLITE
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.waiting import until
from tests.harness.world import World

pytestmark = pytest.mark.usual_backends(SQLITE)


async def scraped(world: World, scope: str = "metrics") -> dict[str, float]:
    answer = await world.http(token=world.tokens.service(scope)).get("/metrics")
    assert answer.status == 200
    lines = [line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


async def test_every_series_that_is_known_beforehand_starts_at_0(world: World) -> None:
    values = await scraped(world)
    with_labels = {name for name in values if "{" in name and "_bucket{" not in name and name != "buzz_build_info"}
    families = {name.partition("{")[0] for name in with_labels}
    assert families >= {
        "buzz_sends_total", "buzz_closes_total", "buzz_webhook_deliveries_total", "buzz_trust_lookups_total",
        "buzz_call_lookups_total", "buzz_blocked_calls_total", "buzz_rung_calls_total", "buzz_attestations_total",
        "buzz_numbers_wanted_total", "buzz_answers_ended_total", "buzz_notices_total", "buzz_looks_total",
        "buzz_commits_heard_total",
    }  # fmt: skip
    assert {values[f'buzz_sends_total{{result="{result}"}}'] for result in SEND_RESULTS} == {0}
    assert {values[f'buzz_closes_total{{code="{int(code)}"}}'] for code in CloseCode} == {0}


async def test_no_value_of_a_label_comes_later(world: World) -> None:
    before = await scraped(world)
    jane = await world.join(JANE)
    await jane.post(chat(JANE, BOB))
    await jane.close(4999)
    await until(lambda: not world.node.socket._sockets)
    assert {name for name in await scraped(world) if "{" in name} == {name for name in before if "{" in name}


@pytest.mark.parametrize(
    ("given", "counted"), [(1000, "1000"), (1001, "1001"), (1009, "1009"), (3000, "other"), (4401, "4401")]
)
async def test_a_close_is_counted_by_the_code_that_the_client_gave(world: World, given: int, counted: str) -> None:
    jane = await world.join(JANE)
    await jane.close(given)
    await until(lambda: not world.node.socket._sockets)
    values = await scraped(world)
    assert {name: value for name, value in values.items() if name.startswith("buzz_closes_total") and value} == {
        f'buzz_closes_total{{code="{counted}"}}': 1
    }


@pytest.mark.backends(SQLITE, POSTGRESQL)
async def test_a_refused_send_is_counted_by_its_error(world: World) -> None:
    jane = await world.join(JANE)
    http = world.http(JANE)
    first = chat(JANE, BOB)
    refused = {
        "forbidden": chat(BOB, JANE),
        "not_found": chat(JANE, 999_999),
        "unprocessable": {**chat(JANE, BOB), "receivable_id": JANE, "message_id": first["message_id"]},
    }
    await jane.post(first)
    for activity in refused.values():
        assert (await jane.ask("send", activity=activity))["type"] == "error"
        assert (await http("POST", "/apps/buzz/activity", json=activity)).status >= 400
    values = await scraped(world)
    counts = {result: values[f'buzz_sends_total{{result="{result}"}}'] for result in SEND_RESULTS}
    assert {result: count for result, count in counts.items() if count} == {"stored": 1, **dict.fromkeys(refused, 2)}


async def test_a_scraper_has_a_scope_of_its_own(world: World) -> None:
    scraper = world.http(token=world.tokens.service("metrics"))
    assert (await scraper.get("/metrics")).status == 200
    for path in ("/admin/sessions", "/admin/stats"):
        assert (await scraper.get(path)).status == 403
    assert (await scraper.get("/apps/buzz/heartbeat")).status == 403
    assert (await scraper.get("/apps/buzz/trust-lookup")).status == 401
    assert (await world.http(token=world.tokens.service("admin")).get("/metrics")).status == 200
    assert (await world.http(token=world.tokens.service("lookup")).get("/metrics")).status == 403
    assert (await world.http(JANE).get("/metrics")).status == 403
    assert (await world.http().get("/metrics")).status == 401


async def test_the_build_is_shown(world: World) -> None:
    [build] = [name for name in await scraped(world) if name.startswith("buzz_build_info")]
    assert re.fullmatch(
        r'buzz_build_info\{database="sqlite",implementation="CPython",python="3\.[0-9.]+",version="[0-9.]+"\}', build
    )
