"""A refused token: its sender is told why in general words, the log says exactly why, and a metric counts it."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from prometheus_client.parser import text_string_to_metric_families

from buzz_client import BuzzClient, HttpError, TokenRefused
from buzz_client.address import Address
from buzz_client.http import BuzzHttp
from buzz_client.tokens import Tokens
from server.auth.refusals import LOGGED_AT_ONCE, TOLD, RefusalReason, Refusals
from tests.harness.backend import SQLITE
from tests.harness.people import JANE
from tests.harness.provider import Provider, identity_provider
from tests.harness.watch import Watch
from tests.harness.world import World, open_world

pytestmark = pytest.mark.usual_backends(SQLITE)

ROUTE = "/apps/buzz/heartbeat"
WORDS = "Unauthorized: Access is denied due to invalid credentials."
NOBODY = 99_999
UNPROVEN = "the token's signature could not be verified"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with identity_provider() as opened:
        yield opened


@pytest.fixture
async def world(watch: Watch, data_dir: Path, provider: Provider) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(open_world(data_dir, **provider.settings))


@dataclass(frozen=True)
class Scene:
    """Who can make tokens."""

    world: World
    provider: Provider

    def provided(self, person: int = JANE, **claims: Any) -> str:
        return self.provider.token(person, "old", **claims)

    async def revoked(self) -> str:
        token = self.world.tokens.person(JANE)
        admin = self.world.http(token=self.world.tokens.service("admin"))
        assert (await admin("POST", "/admin/revocations", json={"token": token})).status == 201
        return token


@dataclass(frozen=True)
class Case:
    """One refused token: how it is made, the reason, what its sender is told, and what the log says.

    ``parts``: what ``POST /admin/tokens/check`` finds wrong with it.
    """

    make: Callable[[Scene], Any]
    reason: RefusalReason
    told: str
    logged: str
    parts: tuple[str, ...]


def _header(token: str, **changed: Any) -> str:
    """The token with another header and its old signature."""
    header, rest = token.split(".", 1)
    fields = json.loads(base64.urlsafe_b64decode(header + "=="))
    return base64.urlsafe_b64encode(json.dumps({**fields, **changed}).encode()).rstrip(b"=").decode() + "." + rest


PAST = int(time.time()) - 60
CASES = {
    "no JWT": Case(
        lambda _: "zzz",
        RefusalReason.MALFORMED,
        "this is not a token of a supported form",
        "it is no JWT: .+",
        ("form",),
    ),
    "unknown key": Case(
        lambda scene: _header(scene.provided(), kid="another"),
        RefusalReason.KEY,
        UNPROVEN,
        'the token names the key \\(kid\\) "another", BUZZ_JWKS has new, old',
        ("key",),
    ),
    "no key named": Case(
        lambda scene: jwt.encode({}, "secret" * 8, "HS256"),
        RefusalReason.KEY,
        UNPROVEN,
        "the token names no key \\(kid\\), BUZZ_JWKS has new, old",
        ("key", "iss", "aud", "exp", "person"),
    ),
    "algorithm": Case(
        lambda scene: _header(scene.provided(), alg="HS256"),
        RefusalReason.ALGORITHM,
        UNPROVEN,
        'alg is "HS256", its key is for ES256',
        ("alg",),
    ),
    "signature": Case(
        lambda scene: scene.provider.signed({"sub": "456"}, "old", by="new"),
        RefusalReason.SIGNATURE,
        UNPROVEN,
        "the signature does not fit the key that the token names",
        ("signature", "iss", "aud", "exp"),
    ),
    "own, signature": Case(
        lambda scene: scene.world.tokens.person(JANE)[:-4] + "AAAA",
        RefusalReason.SIGNATURE,
        UNPROVEN,
        "the signature is wrong",
        ("signature",),
    ),
    "issuer": Case(
        lambda scene: scene.provided(iss="https://login.example/"),
        RefusalReason.ISSUER,
        "the token's issuer is not one that this server accepts",
        'iss is "https://login.example/", BUZZ_JWT_ISSUER is "https://login.example"'
        " \\(they differ in the slash at the end\\)",
        ("iss",),
    ),
    "audience": Case(
        lambda scene: scene.provided(aud="account"),
        RefusalReason.AUDIENCE,
        "the token's audience is not this server's",
        'aud is "account", BUZZ_JWT_AUDIENCE is "buzz-app"',
        ("aud",),
    ),
    "no audience": Case(
        lambda scene: scene.provided(aud=None),
        RefusalReason.AUDIENCE,
        "the token's audience is not this server's",
        'there is no aud, BUZZ_JWT_AUDIENCE is "buzz-app", BUZZ_JWT_CLIENT_CLAIM is not set',
        ("aud",),
    ),
    "expired": Case(
        lambda scene: scene.provided(exp=PAST),
        RefusalReason.EXPIRED,
        "the token has expired",
        "exp is \\S+Z, now it is \\S+Z",
        ("exp",),
    ),
    "not yet": Case(
        lambda scene: scene.provided(nbf=PAST + 3_600),
        RefusalReason.NOT_YET_VALID,
        "the token is not valid yet",
        "nbf is \\S+Z, now it is \\S+Z",
        ("nbf",),
    ),
    "no expiry": Case(
        lambda scene: scene.provided(exp="tomorrow"),
        RefusalReason.CLAIMS,
        "the token's claims are incomplete or malformed",
        'exp is "tomorrow", and must be a time in seconds',
        ("exp",),
    ),
    "no person": Case(
        lambda scene: scene.provided(sub="+12025550101"),
        RefusalReason.PERSON,
        "the token does not say which person it belongs to",
        "sub is a text of 12 characters, and must be a person's id \\(BUZZ_JWT_PERSON_CLAIM\\)",
        ("person",),
    ),
    "revoked": Case(
        Scene.revoked,
        RefusalReason.REVOKED,
        "the token was revoked",
        "the token with the id \\S+ was revoked",
        ("jti",),
    ),
    "not in the directory": Case(
        lambda scene: scene.provided(NOBODY),
        RefusalReason.NOT_IN_DIRECTORY,
        f"person {NOBODY} is not in the directory",
        f"person {NOBODY} is not in the directory",
        ("directory",),
    ),
}


async def refused(world: World) -> dict[str, float]:
    """The metric: refused tokens by reason."""
    answer = await world.http(token=world.tokens.service("admin")).get("/metrics")
    families = text_string_to_metric_families(answer.body.decode())
    [family] = [each for each in families if each.name == "buzz_tokens_refused"]
    return {sample.labels["reason"]: sample.value for sample in family.samples}


@pytest.mark.parametrize("name", CASES)
async def test_a_refused_token_says_why_to_its_sender_in_the_log_and_in_a_metric(
    world: World, provider: Provider, watch: Watch, name: str
) -> None:
    case = CASES[name]
    token = case.make(Scene(world, provider))
    token = token if isinstance(token, str) else await token
    answer = await world.http(token=token).get(ROUTE)
    assert answer.status == 401
    assert answer.message.startswith(f"{WORDS} {case.told[0].upper()}{case.told[1:]}")
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="buzz", error="invalid_token", error_description="{case.told}"'
    )
    peer = await world.connect()
    await peer.send("hello", token=token)
    assert (await peer.until_closed(), peer.close_reason) == (4401, case.told)
    assert await refused(world) == {**dict.fromkeys(RefusalReason, 0), case.reason: 2}
    lines = [line for line in watch.log if line["event"] == "token refused"]
    assert [line["reason"] for line in lines] == [case.reason.value] * 2
    assert re.fullmatch(case.logged, lines[0]["detail"])
    secret = token.rpartition(".")[2] or token
    assert secret not in repr(watch.log)
    assert "2025550101" not in repr(watch.log)


@pytest.mark.parametrize("name", CASES)
async def test_the_check_gives_the_same_reason_and_names_the_part(
    world: World, provider: Provider, watch: Watch, name: str
) -> None:
    case, admin = CASES[name], world.http(token=world.tokens.service("admin"))
    token = case.make(Scene(world, provider))
    token = token if isinstance(token, str) else await token
    answer = await admin("POST", "/admin/tokens/check", json={"token": token})
    assert answer.status == 200
    found = answer.json
    assert (found["accepted"], found["reason"], found["told"]) == (False, case.reason, case.told)
    assert tuple(part["check"] for part in found["checks"] if part["result"] == "refused") == case.parts
    assert await refused(world) == dict.fromkeys(RefusalReason, 0), "a check is not counted"
    assert not [line for line in watch.log if line["event"] == "token refused"]
    assert (token.rpartition(".")[2] or token) not in repr(watch.log)


async def test_the_check_of_a_good_token_says_whose_it_is(world: World, provider: Provider) -> None:
    admin = world.http(token=world.tokens.service("admin"))
    people = {
        provider.token(JANE, "new"): f"person:{JANE}",
        world.tokens.person(JANE): f"person:{JANE}",
        world.tokens.service("lookup"): "service:test",
    }
    for token, subject in people.items():
        found = (await admin("POST", "/admin/tokens/check", json={"token": token})).json
        assert (found["accepted"], found["subject"], found["reason"], found["told"]) == (True, subject, None, None)
        assert [part["check"] for part in found["checks"]] == [
            "form", "key", "alg", "signature", "iss", "aud", "exp", "nbf", "iat", "person", "scope", "jti", "directory",
        ]  # fmt: skip
        assert {part["result"] for part in found["checks"]} <= {"ok", "note"}
    assert (await world.http(JANE)("POST", "/admin/tokens/check", json={"token": "x"})).status == 403


async def test_a_missing_token_is_told_without_an_error_code(world: World, watch: Watch) -> None:
    """RFC 6750, section 3.1: a challenge to a request without a token names no error."""
    for headers in ({}, {"Authorization": "Basic dXNlcjpwYXNz"}, {"Authorization": "Bearer "}):
        answer = await world.http()("GET", ROUTE, headers=headers)
        assert (answer.status, answer.message) == (401, f"{WORDS} The token is missing.")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="buzz"'
    peer = await world.connect()
    await peer.send("hello")
    assert (await peer.until_closed(), peer.close_reason) == (4401, "the token is missing")
    assert (await refused(world))["missing"] == 4
    assert not [line for line in watch.log if line["event"] == "token refused"]


async def test_a_token_of_the_wrong_kind_is_counted_and_logged(world: World, watch: Watch) -> None:
    service, person = world.tokens.service("lookup"), world.tokens.person(JANE)
    assert (await world.http(token=service).get(ROUTE)).status == 403
    assert (await world.http(token=person).get("/admin/stats")).status == 403
    assert (await world.http(token=person).get("/apps/buzz/trust-lookup")).status == 401
    peer = await world.connect()
    await peer.send("hello", token=service)
    assert (await peer.until_closed(), peer.close_reason) == (4401, "this is not a person's token")
    assert (await refused(world))["scope"] == 4
    assert [line["detail"] for line in watch.log if line["event"] == "token refused"] == [
        "a person's token is required, this is the scope lookup",
        "the scope admin is required, this is a person's token",
        "the scope lookup is required, this is a person's token",
        "a person's token is required, this is the scope lookup",
    ]


async def test_a_refresh_is_told_why_and_the_session_goes_on(world: World) -> None:
    jane = await world.join(JANE)
    answer = await jane.ask("refresh", token="zzz")
    assert (answer["type"], answer["code"]) == ("error", "unauthorized")
    assert answer["message"] == f"{WORDS} This is not a token of a supported form."
    assert (await jane.ask("ping"))["type"] == "pong"


@pytest.mark.parametrize("name", CASES)
async def test_look_ups_answer_the_same_whatever_was_wrong(world: World, provider: Provider, name: str) -> None:
    token = CASES[name].make(Scene(world, provider))
    token = token if isinstance(token, str) else await token
    answers = [await world.http(token=each).get("/apps/buzz/trust-lookup") for each in (token, None)]
    assert [answer.status for answer in answers] == [401, 401]
    assert {answer.body for answer in answers} == {b'{"error":{"code":"401","message":"' + WORDS.encode() + b'"}}'}
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'Bearer realm="buzz"'}


async def test_a_repeated_refusal_is_logged_a_few_times_and_counted_every_time(watch: Watch) -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    for _ in range(LOGGED_AT_ONCE + 20):
        refusals.note(RefusalReason.AUDIENCE, "aud")
    refusals.note(RefusalReason.ISSUER, "iss")
    lines = [line for line in watch.log if line["event"] == "token refused"]
    assert [line["reason"] for line in lines] == ["audience"] * LOGGED_AT_ONCE + ["issuer"]
    now = 10.5
    refusals.note(RefusalReason.AUDIENCE, "aud")
    assert watch.log[-1]["not_logged"] == 20
    assert refusals.counts["audience"] == LOGGED_AT_ONCE + 21


async def test_the_python_client_shows_the_reason(world: World, provider: Provider) -> None:
    token = provider.token(JANE, "old", aud="account")
    with pytest.raises(TokenRefused, match="the token's audience is not this server's"):
        async with BuzzClient(world.url, token):
            raise AssertionError("there is no session")
    async with BuzzHttp(Address.parse(world.url), Tokens(token)) as http:
        with pytest.raises(HttpError, match="The token's audience is not this server's"):
            await http.heartbeat()


def test_every_reason_has_words_that_a_header_may_carry() -> None:
    """RFC 6750, section 3: printable ASCII without quotes and backslashes. A close reason has at most 123 bytes."""
    assert set(TOLD) == set(RefusalReason)
    for text in TOLD.values():
        assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]{1,123}", text), text
