"""The two look-ups over HTTP: as the seed prints them, every way to be trusted, every refusal, nothing given away."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from urllib.parse import urlencode

import pytest
from yarl import URL

from server.http.direct import DirectConnection
from storage.database import Row, Value
from storage.sqlite.database import SqliteDatabase
from storage.telephony.callers import Ask, Callers, CallerStore
from tests.harness.watch import Watch
from tests.integration.telephony.conftest import (
    ACME,
    BOB,
    JANE,
    LOOKUP,
    STRANGER,
    TWILIO_TOKEN,
    Buzz,
    Clock,
    bearer,
    event,
    open_buzz,
)

TRUST, CALL = "/apps/buzz/trust-lookup", "/apps/buzz/call-lookup"
COUSIN = {"inbound": "2025550123"}


async def test_the_seeds_request_as_printed(buzz: Buzz) -> None:
    body = """{
            "number_code": "1",
             "number": "2385551629",
             "inbound_code": "1",
             "inbound": "9876543210",
             "caller_id": "8765432109"
         }"""
    headers = {**buzz.service, "Content-Type": "application/json"}
    async with buzz.client.post(TRUST, data=body, headers=headers) as response:
        assert (response.status, await response.json()) == (200, {"trusted": False, "user_id": JANE})
    [blocked] = await buzz.blocked(at_least=1)
    assert (blocked["caller_id"], blocked["country_code"], blocked["phone_number"]) == (
        "8765432109",
        "+1",
        "9876543210",
    )


async def test_the_seeds_call_lookup_as_printed(buzz: Buzz) -> None:
    printed = {"number_code": "123", "number": "9876543210", "inbound_code": "456", "inbound": "9876543210"}
    status, answer = await buzz.get(CALL, buzz.service, **printed, caller_id="789")
    assert (status, answer) == (200, {"contacts": [], "people": [], "companies": []})


@pytest.mark.parametrize(
    "changes",
    [
        COUSIN,
        {"inbound": "+12025550123"},
        {"inbound": "(202) 555-0123"},
        {"inbound": "2025550101"},
        {"inbound": "8005550100"},
        {"number": "+1 (238) 555-1629", **COUSIN},
    ],
)
async def test_trusted_callers(buzz: Buzz, changes: Mapping[str, str]) -> None:
    assert await buzz.trust(**changes) == {"trusted": True, "user_id": JANE}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"inbound": "anonymous"},
        {"inbound": "sip:bob@example.org"},
        {"inbound": "+266696687"},
        {"inbound_code": "0"},
        {"inbound_code": "44", "inbound": "+12025550123"},
        {"inbound": "x" * 5_000},
        {"inbound": "2385551629"},  # Jane's own number
    ],
)
async def test_callers_who_are_not_trusted(buzz: Buzz, changes: Mapping[str, str]) -> None:
    assert await buzz.trust(**changes) == {"trusted": False, "user_id": JANE}


@pytest.mark.parametrize(
    "changes", [{"number": "2385551630"}, {"number": "x"}, {"number_code": "1+"}, {"number": "2" * 39}]
)
async def test_numbers_that_are_nobodys(buzz: Buzz, changes: Mapping[str, str]) -> None:
    assert await buzz.trust(**changes, **COUSIN) == {"trusted": False, "user_id": None}


@pytest.mark.parametrize(
    ("query", "directly"),
    [
        ("number_code=1&number=2385551629&inbound_code=1&inbound=2025550123", True),
        ("number_code=1&number=2385551629&inbound_code=1&inbound=9876543210&caller_id=", True),
        ("number_code=%2B1&number=%2B12385551629&inbound_code=1&inbound=%28202%29+555-0123", True),
        ("number_code=1&number=2385551629&inbound_code=1&inbound=2025550123&inbound=9876543210", True),
        ("number_code=1&number=2385551629&inbound_code=1&inbound=client:person_7&CallSid=CA1", True),
        ("number_code=1&&number=2385551629&inbound_code=1&inbound=anonymous&flag", True),
        ("number_code=1&number=2385551629&inbound_code=1&inbound=", False),
        ("", False),
    ],
)
async def test_a_known_token_gets_the_same_answer_where_the_request_arrives(
    buzz: Buzz, query: str, directly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[bytes] = []
    answer = DirectConnection.answer

    def noted(self: DirectConnection, data: bytes) -> None:
        answered.append(data)
        answer(self, data)

    monkeypatch.setattr(DirectConnection, "answer", noted)
    url, service, answers = URL(f"{TRUST}?{query}", encoded=True), buzz.service, []
    for more in ({"Connection": "close"}, {}):  # the first goes aiohttp's way
        assert not answered
        async with buzz.client.get(url, headers={**service, **more}) as response:
            names = set(response.headers) - {"Connection"}
            answers.append((response.status, names, response.content_type, await response.read()))
    assert answers[0] == answers[1]
    assert len(answered) == directly


@pytest.mark.parametrize("credential", [{}, bearer("no.such.token"), {"Authorization": "Basic YTpi"}])
async def test_no_other_credential_is_taken_where_the_request_arrives(
    buzz: Buzz, credential: Mapping[str, str]
) -> None:
    assert await buzz.trust(**COUSIN) == {"trusted": True, "user_id": JANE}
    status, _ = await buzz.get(TRUST, credential, number_code="1", number="2385551629", inbound_code="1", inbound="1")
    assert status == 401


async def test_call_lookup_says_who_a_trusted_caller_is(buzz: Buzz) -> None:
    bob = {"id": BOB, "first_name": "Bob", "last_name": "Ray", "avatar": "https://example.org/bob.png"}
    cousin = {
        "id": 9,
        "first_name": "Cousin",
        "middle_name": None,
        "last_name": "Vi",
        "avatar": None,
        "number": "+12025550123",
    }
    acme = {"id": ACME, "name": "Acme", "avatar": None}
    for inbound, expected in [
        ("2025550101", ([], [bob], [])),
        ("2025550123", ([cousin], [], [])),
        ("8005550100", ([], [], [acme])),
        ("9876543210", ([], [], [])),
    ]:
        status, answer = await buzz.get(CALL, buzz.service, **{**LOOKUP, "inbound": inbound})
        assert status == 200
        assert (answer["contacts"], answer["people"], answer["companies"]) == expected


async def test_call_lookup_stores_nothing(buzz: Buzz) -> None:
    await buzz.get(CALL, buzz.service, **LOOKUP)
    await buzz.trust(caller_id="the only one")
    assert [call["caller_id"] for call in await buzz.blocked(at_least=1)] == ["the only one"]


async def test_the_answers_of_get_and_post_are_the_same_bytes(buzz: Buzz) -> None:
    parameters = {**LOOKUP, **COUSIN}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    requests = [
        buzz.client.get(TRUST, params=parameters, headers=buzz.service),
        buzz.client.post(TRUST, json=parameters, headers=buzz.service),
        buzz.client.post(TRUST, data=urlencode(parameters), headers={**buzz.service, **form}),
        buzz.client.post(TRUST, params=parameters, headers=buzz.service),
    ]
    bodies = []
    for request in requests:
        async with request as response:
            assert response.status == 200
            bodies.append(await response.read())
    assert set(bodies) == {b'{"trusted":true,"user_id":456}'}


@pytest.mark.parametrize("path", [TRUST, CALL])
async def test_missing_parameters(buzz: Buzz, path: str) -> None:
    for name, value in product(LOOKUP, (None, "")):
        parameters = {**LOOKUP, name: value}
        given = {each: text for each, text in parameters.items() if text is not None}
        message = f"Bad Request: Missing required parameter: '{name}'"
        expected = (400, {"error": {"code": "400", "message": message}})
        assert await buzz.get(path, buzz.service, **given) == expected
        async with buzz.client.post(path, json=parameters, headers=buzz.service) as response:
            assert (response.status, await response.json()) == expected


async def test_bodies_that_are_none(buzz: Buzz) -> None:
    bodies = [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'"x"', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"number": NaN}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "application/json", 400),
        (b"", "application/json", 400),
        (b"<x/>", "text/xml", 415),
        (b"a=b&" * 300, "application/x-www-form-urlencoded", 400),
        (b" " * 200_000, "application/json", 413),
    ]
    for body, content_type, status in bodies:
        headers = {**buzz.service, "Content-Type": content_type}
        async with buzz.client.post(TRUST, data=body, headers=headers) as response:
            answer = await response.json()
            assert (response.status, answer["error"]["code"]) == (status, str(status)), body[:50]


async def test_malformed_values_are_no_error(buzz: Buzz) -> None:
    values = (1.5, True, [1], {"a": 1}, -1, 10**38, "\ud83d\ude00", "\x00")
    for name, value in product(LOOKUP, values):
        expected = None if name in ("number", "number_code") else JANE
        async with buzz.client.post(TRUST, json={**LOOKUP, name: value}, headers=buzz.service) as response:
            assert (response.status, await response.json()) == (200, {"trusted": False, "user_id": expected}), name


@pytest.mark.parametrize(
    "query", ["number=2385551629&number=2385551629", "number=%FF%FE", "number=%00", "number=%ED%A0%80"]
)
async def test_what_is_no_text_or_given_twice_is_malformed(buzz: Buzz, query: str) -> None:
    path = f"{TRUST}?number_code=1&inbound_code=1&inbound=9876543210&{query}"
    assert await buzz.get(path, buzz.service) == (200, {"trusted": False, "user_id": None})


async def test_unknown_and_malformed_look_the_same(buzz: Buzz) -> None:
    seen = set()
    for changes in ({}, {"inbound": "anonymous"}, {"inbound": "123"}, {"inbound_code": "000"}):
        async with buzz.client.get(TRUST, params={**LOOKUP, **changes}, headers=buzz.service) as response:
            headers = {
                name: value for name, value in response.headers.items() if name.lower() not in ("x-request-id", "date")
            }
            seen.add((response.status, await response.read(), json.dumps(headers)))
    assert len(seen) == 1


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that look-ups run from now on."""
    seen: list[str] = []
    real = SqliteDatabase.fetch

    async def noted(self: SqliteDatabase, sql: str, *parameters: Value) -> list[Row]:
        if "WITH ask AS" in sql:
            seen.append(sql)
        return await real(self, sql, *parameters)

    monkeypatch.setattr(SqliteDatabase, "fetch", noted)
    return seen


async def test_one_query_runs_whatever_is_asked(buzz: Buzz, statements: list[str]) -> None:
    """Known, unknown and malformed take the same steps: the same statement, once for each request."""
    cases: list[dict[str, str]] = [{}, COUSIN, {"inbound": "anonymous"}, {"number": "x"}, {"number": "2385551630"}]
    for number, changes in enumerate(cases, 1):
        await buzz.trust(**changes)
        assert len(statements) == number
    assert len(set(statements)) == 1


@pytest.mark.parametrize("path", [TRUST, CALL])
async def test_every_401_is_the_same_bytes(buzz: Buzz, path: str) -> None:
    target = f"{path}?{urlencode(LOOKUP)}"
    bad: list[dict[str, str]] = [
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic eDp5"},
        buzz.person(JANE),
        {"X-Twilio-Signature": ""},
        {"X-Twilio-Signature": "AAAA"},
        buzz.signed(target + "&x=1"),
    ]
    seen = set()
    for headers in bad:
        for where in (target, path):  # before the request is parsed: missing parameters make no difference
            async with buzz.client.get(where, headers=headers) as response:
                shown = {
                    name: value
                    for name, value in response.headers.items()
                    if name.lower() not in ("x-request-id", "date")
                }
                seen.add((response.status, await response.read(), json.dumps(shown)))
    [(status, body, _)] = seen
    assert status == 401
    assert json.loads(body) == {
        "error": {"code": "401", "message": "Unauthorized: Access is denied due to invalid credentials."}
    }


async def test_twilios_signature_opens_both(buzz: Buzz) -> None:
    for path in (TRUST, CALL):
        target = f"{path}?{urlencode({**LOOKUP, 'caller_id': '+12385551629'})}"
        status, _ = await buzz.get(target, buzz.signed(target))
        assert status == 200
    form = {**LOOKUP, "CallSid": "CA1"}
    headers = {**buzz.signed(TRUST, form), "Content-Type": "application/x-www-form-urlencoded"}
    async with buzz.client.post(TRUST, data=urlencode(form), headers=headers) as response:
        assert response.status == 200


async def test_the_known_answer_over_http(buzz: Buzz) -> None:
    target = f"{TRUST}?number_code=1&number=2385551629&inbound_code=1&inbound=9876543210&caller_id=%2B12385551629"
    assert TWILIO_TOKEN == "12345"
    url = URL(target, encoded=True)
    async with buzz.client.get(url, headers={"X-Twilio-Signature": "mmI++7AEZ1drp6nAWxDg/QUdytY="}) as response:
        assert response.status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH"])
async def test_other_methods(buzz: Buzz, method: str) -> None:
    async with buzz.client.request(method, TRUST, params=LOOKUP, headers=buzz.service) as response:
        assert response.status == 405
        assert set(response.headers["Allow"].split(",")) == {"GET", "POST"}
    assert await buzz.blocked() == []


async def test_a_trusted_call_is_announced_before_it_rings(buzz: Buzz) -> None:
    async with buzz.live(JANE) as first, buzz.live(JANE) as second, buzz.live(BOB) as others:
        await buzz.trust(**COUSIN, caller_id="Vi")
        for socket in (first, second):
            name, data = await event(socket)
            assert name == "call.ringing"
            assert (data["caller_id"], data["country_code"], data["phone_number"]) == ("Vi", "+1", "2025550123")
            _, said = await buzz.get(CALL, buzz.service, **{**LOOKUP, **COUSIN})
            assert {key: data[key] for key in said} == said
        # Repeats of the call, and other people's sockets, get nothing: the next thing seen is another call.
        await buzz.trust(**COUSIN)
        await buzz.trust(inbound="8005550100")
        assert (await event(first))[1]["companies"][0]["id"] == ACME
        await others.send_json({"type": "ping"})
        assert (await others.receive_json(timeout=5))["type"] == "pong"


async def test_a_blocked_call_is_announced(buzz: Buzz) -> None:
    async with buzz.live(JANE) as socket:
        await buzz.trust(caller_id="Unknown Caller")
        name, data = await event(socket)
        assert name == "call.blocked"
        assert [data] == await buzz.blocked()


async def test_no_log_line_and_no_metric_shows_a_whole_number(
    buzz: Buzz, watch: Watch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await buzz.trust(caller_id="canary 8765432109")
        await buzz.trust(**COUSIN)
        await buzz.get(TRUST, {}, **LOOKUP)
        await buzz.get(TRUST, buzz.service, **{**LOOKUP, "inbound": ""})
        await buzz.get("/apps/buzz/heartbeat", buzz.person(BOB))
        await buzz.blocked(at_least=1)
    async with buzz.client.get("/metrics", headers=bearer(buzz.tokens.service("admin"))) as response:
        metrics = await response.text()
    assert 'buzz_trust_lookups_total{answer="trusted"} 1.0' in metrics
    shown = "".join(capfd.readouterr()) + caplog.text + str(watch.log) + metrics
    for national in ("2385551629", STRANGER[2:], "2025550123", "8765432109"):
        assert national not in shown


async def test_an_answer_that_is_late_is_untrusted(
    data_dir: Path, clock: Clock, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = asyncio.Event()
    real = CallerStore.look_up

    async def slow(self: CallerStore, asks: Sequence[Ask]) -> list[Callers]:
        await stuck.wait()
        return await real(self, asks)

    monkeypatch.setattr(CallerStore, "look_up", slow)
    async with open_buzz(data_dir, clock, lookup_deadline_ms=50) as buzz:
        assert await buzz.trust(**COUSIN) == {"trusted": False, "user_id": None}
        assert await buzz.get(CALL, buzz.service, **LOOKUP) == (200, {"contacts": [], "people": [], "companies": []})
        async with buzz.client.get("/metrics", headers=bearer(buzz.tokens.service("admin"))) as response:
            assert 'buzz_trust_lookups_total{answer="late"} 1.0' in await response.text()
        assert await buzz.blocked() == []  # whose call it was is not known yet
        stuck.set()
        [call] = await buzz.blocked(at_least=1)  # a cousin who was trusted, but whose call did not ring
        assert call["phone_number"] == COUSIN["inbound"]
    async with open_buzz(data_dir, clock) as buzz:
        assert await buzz.trust(**COUSIN) == {"trusted": True, "user_id": JANE}


async def test_many_look_ups_at_once_share_trips_to_storage(buzz: Buzz, statements: list[str]) -> None:
    answers = await asyncio.gather(*(buzz.trust(inbound=f"212555{number:04}") for number in range(60)))
    assert all(answer == {"trusted": False, "user_id": JANE} for answer in answers)
    assert 0 < len(statements) < 60
