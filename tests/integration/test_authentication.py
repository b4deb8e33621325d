"""Credentials at a running server: which are accepted where, what a refusal says, and how soon a revocation works."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs
from twilio.request_validator import RequestValidator

from protocol.errors import ApiError, ErrorCode, InvalidToken
from server.auth.authentication import Authentication
from server.auth.claims import Provider
from server.auth.jwks import JwksError, ProviderKeys, parse_jwks
from server.auth.opening import open_authentication
from server.auth.refusals import BadToken, RefusalReason
from server.auth.revocations import Revocations
from server.auth.signing_keys import KeyFileError, load, load_or_create, rotate
from server.auth.tokens import MAX_TOKEN_CHARACTERS, mint_person
from server.config.settings import Mode, Settings
from server.http.requests import read_body
from server.http.responses import errors_middleware
from server.live.parties import Parties
from storage.accounts import AccountStore, Revocation
from storage.sqlite.database import SqliteDatabase
from tests.harness.sqlite import migrated_sqlite

PUBLIC_URL = "https://buzz.example"
TWILIO_TOKEN = "0123456789abcdef0123456789abcdef"
ISSUER, AUDIENCE = "https://login.example", "buzz-app"


class Clock:
    def __init__(self) -> None:
        self.ms = 1_720_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await migrated_sqlite(tmp_path / "buzz.db")
    async with opened.transaction() as transaction:
        people = [(456, "Jane"), (7, "Bob")]
        await transaction.execute_many("INSERT INTO person (id, first_name) VALUES (?, ?)", people)
    yield opened
    await opened.close()


Open = Callable[..., Awaitable[Authentication]]


@pytest.fixture
async def open_auth(database: SqliteDatabase, tmp_path: Path, clock: Clock) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def opened(**more: Any) -> Authentication:
            settings = Settings(
                mode=Mode.DEVELOPMENT,
                data_dir=tmp_path,
                public_url=PUBLIC_URL,
                twilio_auth_token=TWILIO_TOKEN,
                **more,
            )
            parties = Parties(database)
            stack.push_async_callback(parties.close)
            return await stack.enter_async_context(
                open_authentication(settings, AccountStore(database), parties, clock)
            )

        yield opened


@pytest.fixture
async def auth(open_auth: Open) -> Authentication:
    return await open_auth()


async def test_a_node_on_postgresql_says_that_it_made_a_key_that_others_lack(open_auth: Open, tmp_path: Path) -> None:
    """On SQLite no other node can be there, and a key that was there is the operator's."""
    shared = {"database_url": "postgresql://127.0.0.1/buzz"}
    with capture_logs() as log:
        await open_auth(signing_key_file=tmp_path / "alone.pem")
        assert log == []
        await open_auth(signing_key_file=tmp_path / "new.pem", **shared)
        [line] = log
        await open_auth(signing_key_file=tmp_path / "new.pem", **shared)
        assert log == [line]
    assert line["log_level"] == "warning"
    assert "made a new signing key" in line["event"]
    assert "BUZZ_SIGNING_KEY_FILE" in line["event"]
    assert (line["file"], line["kid"]) == (str(tmp_path / "new.pem"), load(tmp_path / "new.pem").signing.kid)


def application(auth: Authentication) -> web.Application:
    async def person(request: web.Request) -> web.Response:
        return web.json_response({"person": (await auth.person(request)).person})

    async def lookup(request: web.Request) -> web.Response:
        caller = await auth.lookup(request)
        return web.json_response({"caller": caller.subject, "body": (await read_body(request)).decode()})

    async def twilio(request: web.Request) -> web.Response:
        return web.json_response({"caller": (await auth.twilio(request)).subject})

    async def admin(request: web.Request) -> web.Response:
        return web.json_response({"caller": (await auth.admin(request)).subject})

    app = web.Application(middlewares=[errors_middleware])
    app.add_routes([web.get("/person", person), web.route("*", "/lookup", lookup), web.route("*", "/twilio", twilio)])
    app.add_routes([web.get("/admin", admin)])
    return app


@pytest.fixture
async def client(auth: Authentication) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async with TestClient(TestServer(application(auth))) as opened:
        yield opened


Client = TestClient[web.Request, web.Application]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_which_credential_is_taken_where(auth: Authentication, client: Client) -> None:
    person = auth.mint_person(456, 60)
    lookup = auth.mint_service("glue", "lookup", 60)
    admin = auth.mint_service("ops", "admin", 60)
    expected = {
        "/person": {person: 200, lookup: 403, admin: 403, "": 401},
        "/lookup": {person: 401, lookup: 200, admin: 401, "": 401},
        "/twilio": {person: 403, lookup: 403, admin: 403, "": 401},
        "/admin": {person: 403, lookup: 403, admin: 200, "": 401},
    }
    for path, answers in expected.items():
        for token, status in answers.items():
            answer = await client.get(path, headers=bearer(token) if token else {})
            assert answer.status == status, (path, status, await answer.text())


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer a.b.c",
        "Basic dXNlcjpwYXNz",
        "Bearer " + "a" * 7_000,
        "Bearer é.é.é",
    ],
)
async def test_a_refused_lookup_says_the_same_whatever_was_wrong(client: Client, header: str) -> None:
    answer = await client.get("/lookup?number=1", headers={"Authorization": header} if header else {})
    assert answer.status == 401
    assert await answer.read() == (
        b'{"error":{"code":"401","message":"Unauthorized: Access is denied due to invalid credentials."}}'
    )


async def test_the_scheme_has_no_case(auth: Authentication, client: Client) -> None:
    answer = await client.get("/person", headers={"Authorization": f"bEaReR {auth.mint_person(456, 60)}"})
    assert await answer.json() == {"person": 456}


async def test_a_token_expires_by_the_servers_clock(auth: Authentication, client: Client, clock: Clock) -> None:
    headers = bearer(auth.mint_person(456, 60))
    assert (await client.get("/person", headers=headers)).status == 200
    clock.ms += 59_999
    assert (await client.get("/person", headers=headers)).status == 200
    clock.ms += 1
    assert (await client.get("/person", headers=headers)).status == 401
    clock.ms -= 86_400_000
    assert (await client.get("/person", headers=headers)).status == 200


async def test_a_token_beyond_every_length_is_refused_unread(auth: Authentication) -> None:
    """Headers and frames are shorter; this is for what operators paste."""
    with pytest.raises(InvalidToken, match="not a token of a supported form"):
        await auth.verify("x" * (MAX_TOKEN_CHARACTERS + 1))


async def test_a_verified_token_is_found_again_without_its_signature(auth: Authentication, clock: Clock) -> None:
    token = auth.mint_person(456, 60)
    assert auth.cached(token) is None
    caller = await auth.verify(token)
    assert auth.cached(token) is caller
    clock.ms += 60_000
    assert auth.cached(token) is None


# Revocation


async def test_a_revocation_from_elsewhere_takes_effect_within_two_seconds(
    auth: Authentication, database: SqliteDatabase, clock: Clock
) -> None:
    token = auth.mint_person(456, 3_600)
    caller = await auth.verify(token)
    heard: asyncio.Queue[Revocation] = asyncio.Queue()
    auth.subscribe(heard.put_nowait)
    started = asyncio.get_running_loop().time()
    await AccountStore(database).revoke(
        token_id=caller.token_id, revoked_at_ms=clock.ms, expires_at_ms=caller.expires_at_ms
    )
    revocation = await asyncio.wait_for(heard.get(), 5)
    assert asyncio.get_running_loop().time() - started < 2
    assert caller.is_hit_by(revocation)
    with pytest.raises(ApiError) as refused:
        await auth.verify(token)
    assert refused.value.code is ErrorCode.UNAUTHORIZED
    assert auth.cached(token) is None


async def test_revoking_a_person_ends_what_they_have_and_not_what_they_get_next(
    auth: Authentication, clock: Clock
) -> None:
    before, other = auth.mint_person(456, 3_600), auth.mint_person(7, 3_600)
    await auth.verify(before)
    await auth.revoke_person(456)
    clock.ms += 1
    with pytest.raises(ApiError):
        await auth.verify(before)
    assert (await auth.verify(auth.mint_person(456, 3_600))).person_id == 456
    assert (await auth.verify(other)).person_id == 7


async def test_each_revocation_is_told_once_however_often_storage_is_looked_at(
    database: SqliteDatabase, clock: Clock
) -> None:
    store = AccountStore(database)
    here, elsewhere = Revocations(store, clock), Revocations(store, clock)
    heard: list[Revocation] = []
    end = here.subscribe(heard.append)
    for person in (456, 7):
        await elsewhere.revoke(person_id=person, expires_at_ms=clock.ms + 1_000)
        await here.poll()
        await here.poll()
    assert [row.person_id for row in heard] == [456, 7]
    end()
    await here.revoke(person_id=8, expires_at_ms=clock.ms + 1_000)
    assert len(heard) == 2


async def test_a_token_is_revoked_whole_or_by_its_id(auth: Authentication) -> None:
    first, second, third = (auth.mint_service("ops", "admin", 60) for _ in range(3))
    await auth.revoke_token(first)
    await auth.revoke_token((await auth.verify(second)).token_id)
    for token in (first, second):
        with pytest.raises(ApiError):
            await auth.verify(token)
    assert (await auth.verify(third)).scopes == {"admin"}


@pytest.mark.parametrize("text", ["", "a.b.c", "x" * 257])
async def test_what_is_no_token_is_not_revoked(auth: Authentication, text: str) -> None:
    with pytest.raises(ValueError, match="token"):
        await auth.revoke_token(text)


async def test_a_revocation_outlives_a_restart(open_auth: Open) -> None:
    first = await open_auth()
    token = first.mint_person(456, 60)
    await first.revoke_token(token)
    with pytest.raises(ApiError):
        await (await open_auth()).verify(token)


async def test_a_device_is_signed_out_for_what_was_issued_until_then(
    open_auth: Open, database: SqliteDatabase, clock: Clock
) -> None:
    auth = await open_auth()
    caller = await auth.verify(auth.mint_person(456, 60))
    assert not auth.is_signed_out(caller, "phone")
    async with database.transaction() as transaction:
        await auth.sign_out(transaction, 456, "phone", None)
    await auth.poll()
    assert auth.is_signed_out(caller, "phone")
    assert not auth.is_signed_out(caller, "laptop")
    assert not auth.is_signed_out(caller, None)
    assert not auth.is_signed_out(await auth.verify(auth.mint_person(7, 60)), "phone")
    clock.ms += 1
    assert not auth.is_signed_out(await auth.verify(auth.mint_person(456, 60)), "phone")


async def test_a_listener_that_fails_does_not_keep_the_others_from_hearing(auth: Authentication) -> None:
    heard: list[Revocation] = []

    def broken(_: Revocation) -> None:
        raise RuntimeError("broken")

    auth.subscribe(broken)
    unsubscribe = auth.subscribe(heard.append)
    await auth.revoke_person(456)
    unsubscribe()
    await auth.revoke_person(7)
    assert [row.person_id for row in heard] == [456]


# Keys


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "signing-key.pem"
    ring = load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create(path).signing.kid == ring.signing.kid
    assert [each.name for each in path.parent.iterdir()] == ["signing-key.pem"]


def test_a_key_of_development_says_so(tmp_path: Path) -> None:
    assert load_or_create(tmp_path / "a.pem", development=True).development
    assert rotate(tmp_path / "a.pem").development
    assert not load_or_create(tmp_path / "b.pem").development


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no unencrypted PEM"),
        (b"hello", "no unencrypted PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "damaged"),
    ],
)
def test_a_damaged_key_file_is_named(tmp_path: Path, text: bytes, reason: str) -> None:
    path = tmp_path / "signing-key.pem"
    path.write_bytes(text)
    with pytest.raises(KeyFileError, match=reason):
        load(path)


async def test_rotation_is_followed_while_the_server_runs(auth: Authentication, tmp_path: Path) -> None:
    before = auth.mint_person(456, 60)
    await auth.verify(before)
    rotate(tmp_path / "signing-key.pem")
    await auth.poll()
    after = auth.mint_person(456, 60)
    assert before.partition(".")[0] != after.partition(".")[0]
    assert (await auth.verify(before)).person_id == (await auth.verify(after)).person_id == 456
    rotate(tmp_path / "signing-key.pem", forget_old=True)
    await auth.poll()
    for token in (before, after):
        with pytest.raises(ApiError):
            await auth.verify(token)


async def test_forgotten_keys_are_told_and_kept_ones_are_not(auth: Authentication, tmp_path: Path) -> None:
    caller = await auth.verify(auth.mint_person(456, 60))
    told: list[str | None] = []
    auth.subscribe_to_keys(lambda: told.append(auth.ended(caller)))
    rotate(tmp_path / "signing-key.pem")
    await auth.poll()
    assert (told, auth.counts(caller)) == ([], True)
    rotate(tmp_path / "signing-key.pem", forget_old=True)
    await auth.poll()
    assert (told, auth.counts(caller)) == (["the token's signing key is no longer in force"], False)


async def test_a_key_file_that_went_bad_leaves_the_keys_as_they_were(auth: Authentication, tmp_path: Path) -> None:
    token = auth.mint_person(456, 60)
    (tmp_path / "signing-key.pem").write_text("oops")
    await auth.poll()
    assert (await auth.verify(token)).person_id == 456


# Twilio


def signed(url: str, form: dict[str, str] | None = None) -> dict[str, str]:
    signature = RequestValidator(TWILIO_TOKEN).compute_signature(url, form or {})
    return {"X-Twilio-Signature": signature}


async def test_twilio_is_taken_by_its_signature_over_the_raw_url(client: Client) -> None:
    path = "/lookup?number=2385551629&caller_id=%2B12385551629&odd=a+b%20c"
    url = client.make_url(path)
    raw = type(url)(str(url.origin()) + path, encoded=True)
    answer = await client.session.get(raw, headers=signed(PUBLIC_URL + path))
    assert answer.status == 200
    assert (await answer.json())["caller"] == "twilio"
    assert (await client.session.get(raw, headers=signed("http://127.0.0.1" + path))).status == 401


async def test_a_form_is_part_of_the_signature_and_still_readable(client: Client) -> None:
    form = {"CallSid": "CA1", "From": "+14158675309", "Empty": ""}
    for path in ("/lookup", "/twilio"):
        headers = signed(PUBLIC_URL + path, form)
        answer = await client.post(path, data=form, headers=headers)
        assert answer.status == 200, await answer.text()
        assert (await client.post(path, data={**form, "From": "+14158675300"}, headers=headers)).status == 401
    answer = await client.post("/lookup", data=form, headers=signed(PUBLIC_URL + "/lookup", form))
    assert (await answer.json())["body"] == "CallSid=CA1&From=%2B14158675309&Empty="


async def test_json_is_covered_by_its_digest_in_the_url(client: Client) -> None:
    body = json.dumps({"number": "1"}).encode()
    path = "/lookup?bodySHA256=" + RequestValidator(TWILIO_TOKEN).compute_hash(body.decode())
    headers = {**signed(PUBLIC_URL + path), "Content-Type": "application/json"}
    assert (await client.post(path, data=body, headers=headers)).status == 200
    assert (await client.post(path, data=body + b" ", headers=headers)).status == 401
    bare = {**signed(PUBLIC_URL + "/lookup"), "Content-Type": "application/json"}
    assert (await client.post("/lookup", data=body, headers=bare)).status == 401


@pytest.mark.parametrize("signature", ["", "x", "é", "A" * 5_000])
async def test_a_bad_signature_is_a_refusal(client: Client, signature: str) -> None:
    assert (await client.get("/lookup", headers={"X-Twilio-Signature": signature})).status == 401
    assert (await client.get("/twilio", headers={"X-Twilio-Signature": signature})).status == 401


async def test_an_oversized_or_overfull_form_is_refused(client: Client) -> None:
    headers = {"X-Twilio-Signature": "x", "Content-Type": "application/x-www-form-urlencoded"}
    assert (await client.post("/twilio", data=b"a" * 200_000, headers=headers)).status == 413
    assert (await client.post("/twilio", data=b"a=1&" * 1_000, headers=headers)).status == 401


async def test_a_bearer_token_does_not_need_the_body(auth: Authentication, client: Client) -> None:
    headers = {**bearer(auth.mint_service("glue", "lookup", 60)), "X-Twilio-Signature": "wrong"}
    assert (await client.get("/lookup", headers=headers)).status == 200


# The identity provider


class IdentityProvider:
    """Publishes keys over HTTP and signs tokens with them."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"first": ec.generate_private_key(ec.SECP256R1())}
        self.declared: dict[str, str] = {}
        self.fetches = 0
        self.broken = False
        self.url = ""

    def jwks(self) -> dict[str, Any]:
        """Return the keys; those in ``declared`` say for which algorithm they are."""
        alg = {kid: {"alg": name} for kid, name in self.declared.items()}
        return {"keys": [published(kid, key, **alg.get(kid, {})) for kid, key in self.keys.items()]}

    async def serve(self, _: web.Request) -> web.Response:
        self.fetches += 1
        return web.Response(status=500) if self.broken else web.json_response(self.jwks())

    def sign(
        self, kid: str = "first", algorithm: str = "ES256", headers: dict[str, Any] | None = None, **more: Any
    ) -> str:
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "456", "exp": 1_720_000_060, "iat": 1_720_000_000, **more}
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, self.keys[kid], algorithm, headers=headers if headers is not None else {"kid": kid})


def published(kid: str | None, key: Any, **more: Any) -> dict[str, Any]:
    family: Any = jwt.algorithms.ECAlgorithm
    if isinstance(key, rsa.RSAPrivateKey):
        family = jwt.algorithms.RSAAlgorithm
    if isinstance(key, Ed25519PrivateKey):
        family = jwt.algorithms.OKPAlgorithm
    return {**family.to_jwk(key.public_key(), as_dict=True), **({"kid": kid} if kid else {}), "use": "sig", **more}


@pytest.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    made = IdentityProvider()
    app = web.Application()
    app.add_routes([web.get("/jwks", made.serve)])
    async with TestServer(app) as server:
        made.url = str(server.make_url("/jwks"))
        yield made


async def with_provider(open_auth: Open, source: str) -> Authentication:
    return await open_auth(jwks=source, jwt_issuer=ISSUER, jwt_audience=AUDIENCE)


async def test_the_providers_token_is_a_persons(open_auth: Open, provider: IdentityProvider) -> None:
    auth = await with_provider(open_auth, provider.url)
    caller = await auth.verify(provider.sign(scope="admin", jti="abc"))
    assert (caller.person_id, caller.scopes, caller.token_id) == (456, frozenset(), "abc")
    assert caller.expires_at_ms == 1_720_000_060_000
    assert (await auth.verify(auth.mint_person(7, 60))).person_id == 7


async def test_a_token_whose_first_fetch_was_cancelled_is_refused_until_the_next_one(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(source: str) -> bytes:
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("server.auth.jwks._read", never)
    keys = ProviderKeys(Provider(provider.url, ISSUER, AUDIENCE), Clock(), monotonic=lambda: 1.0)
    waiting = asyncio.create_task(keys.verify(provider.sign()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    with pytest.raises(BadToken, match="the keys have not been read yet") as refused:
        await keys.verify(provider.sign())
    assert refused.value.reason is RefusalReason.KEYS_UNREADABLE


@pytest.mark.parametrize("text", ["zzz", "a.b.c", "é.é.é", "..", "e30.e30.e30"])
async def test_what_is_no_jwt_is_refused_with_a_provider_as_well(
    open_auth: Open, provider: IdentityProvider, text: str
) -> None:
    auth = await with_provider(open_auth, provider.url)
    with pytest.raises(InvalidToken):
        await auth.verify(text)


async def test_keys_can_come_from_a_file(open_auth: Open, provider: IdentityProvider, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(provider.jwks()))
    assert (await (await with_provider(open_auth, str(path))).verify(provider.sign())).person_id == 456
    assert provider.fetches == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "buzz"},
        {"iss": None},
        {"aud": "buzz"},
        {"aud": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1_720_000_000},
        {"exp": 10**30},
        {"nbf": 1_720_000_031},
        {"sub": "nobody"},
        {"sub": None},
        {"headers": {}},
        {"headers": {"kid": "other"}},
        {"headers": {"kid": 7}},
    ],
)
async def test_a_token_that_does_not_fit_is_refused(
    open_auth: Open, provider: IdentityProvider, wrong: dict[str, Any]
) -> None:
    auth = await with_provider(open_auth, provider.url)
    try:
        token = provider.sign(**wrong)
    except jwt.InvalidTokenError:  # the signing library refuses some of them by itself
        return
    with pytest.raises(ApiError) as refused:
        await auth.verify(token)
    assert refused.value.code is ErrorCode.UNAUTHORIZED


async def test_the_algorithm_is_the_keys_and_not_the_tokens(open_auth: Open, provider: IdentityProvider) -> None:
    auth = await with_provider(open_auth, provider.url)
    provider.keys["other"] = rsa.generate_private_key(65_537, 2_048)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "456", "exp": 1_720_000_060}
    # Another key under the first one's id; what is published as an HMAC secret; no signature at all.
    secret = provider.jwks()["keys"][0]["x"].encode()
    forgeries: list[tuple[Any, str]] = [(provider.keys["other"], "RS256"), (secret, "HS256"), (None, "none")]
    for key, algorithm in forgeries:
        token = jwt.encode(claims, key, algorithm, headers={"kid": "first"})
        with pytest.raises(ApiError):
            await auth.verify(token)


async def test_a_new_key_is_fetched_when_a_token_names_it_but_not_for_every_forged_id(
    open_auth: Open, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = await with_provider(open_auth, provider.url)
    assert provider.fetches == 1
    provider.keys["second"] = Ed25519PrivateKey.generate()
    token = provider.sign("second", "EdDSA")
    with pytest.raises(ApiError):
        await auth.verify(token)  # within 30 seconds of the last fetch
    monkeypatch.setattr("server.auth.jwks.MIN_REFRESH_SECONDS", 0.0)
    auth._provider._next_fetch_at = 0.0  # type: ignore[union-attr]
    assert (await auth.verify(token)).person_id == 456
    assert provider.fetches == 2
    monkeypatch.undo()
    auth._provider._next_fetch_at = 0.0  # type: ignore[union-attr]
    for _ in range(20):
        with pytest.raises(ApiError):
            await auth.verify(provider.sign("second", "EdDSA", headers={"kid": "forged"}))
    assert provider.fetches == 3


async def test_everybody_with_a_new_key_waits_for_the_one_fetch_that_brings_it(
    open_auth: Open, provider: IdentityProvider
) -> None:
    auth = await with_provider(open_auth, provider.url)
    provider.keys["second"] = Ed25519PrivateKey.generate()
    auth._provider._next_fetch_at = 0.0  # type: ignore[union-attr]
    tokens = [provider.sign("second", "EdDSA", jti=str(number)) for number in range(20)]
    callers = await asyncio.gather(*(auth.verify(token) for token in tokens))
    assert [caller.person_id for caller in callers] == [456] * 20
    assert provider.fetches == 2


@pytest.mark.parametrize("kid", ["first", "another"])
async def test_a_key_that_the_provider_took_away_ends_what_it_signed(
    open_auth: Open, provider: IdentityProvider, kid: str
) -> None:
    """The next key may have the id of the one before."""
    auth = await with_provider(open_auth, provider.url)
    token = provider.sign()
    caller = await auth.verify(token)
    told: list[str | None] = []
    auth.subscribe_to_keys(lambda: told.append(auth.ended(caller)))
    await auth._provider.refresh()  # type: ignore[union-attr]
    assert (told, auth.cached(token)) == ([], caller)
    provider.keys = {kid: ec.generate_private_key(ec.SECP256R1())}
    await auth._provider.refresh()  # type: ignore[union-attr]
    assert told == ["the token's signing key is no longer in force"]
    assert auth.cached(token) is None
    with pytest.raises(ApiError):
        await auth.verify(token)
    assert (await auth.verify(provider.sign(kid))).person_id == 456


async def test_a_token_that_is_revoked_while_the_keys_are_unreadable_is_not_called_foreign(
    open_auth: Open, provider: IdentityProvider
) -> None:
    auth = await with_provider(open_auth, provider.url)
    provider.broken = True
    provider.keys["second"] = ec.generate_private_key(ec.SECP256R1())
    auth._provider._next_fetch_at = 0.0  # type: ignore[union-attr]
    with pytest.raises(ApiError) as refused:
        await auth.revoke_token(provider.sign("second"))
    assert refused.value.code is ErrorCode.UNAVAILABLE


async def test_a_key_under_another_id_is_the_same_key(open_auth: Open, provider: IdentityProvider) -> None:
    auth = await with_provider(open_auth, provider.url)
    token = provider.sign()
    caller = await auth.verify(token)
    provider.keys = {"renamed": provider.keys["first"]}
    await auth._provider.refresh()  # type: ignore[union-attr]
    assert (auth.ended(caller), auth.cached(token)) == (None, caller)


async def test_keys_stay_while_the_provider_is_away(open_auth: Open, provider: IdentityProvider) -> None:
    auth = await with_provider(open_auth, provider.url)
    provider.broken = True
    with pytest.raises(JwksError, match="answered 500"):
        await auth._provider.refresh()  # type: ignore[union-attr]
    assert (await auth.verify(provider.sign())).person_id == 456


async def test_without_any_keys_yet_the_answer_is_unavailable(open_auth: Open, provider: IdentityProvider) -> None:
    provider.broken = True
    auth = await with_provider(open_auth, provider.url)
    with pytest.raises(ApiError) as refused:
        await auth.verify(provider.sign())
    assert refused.value.code is ErrorCode.UNAVAILABLE
    async with TestClient(TestServer(application(auth))) as client:
        assert (await client.get("/lookup", headers=bearer(provider.sign()))).status == 401
        assert (await client.get("/person", headers=bearer(provider.sign()))).status == 503
    assert (await auth.verify(auth.mint_person(7, 60))).person_id == 7


async def test_an_unknown_key_is_unavailable_while_the_provider_is_away(
    open_auth: Open, provider: IdentityProvider
) -> None:
    """The key may be a new one: a client that is told "unauthorized" would give up for good."""
    auth = await with_provider(open_auth, provider.url)
    provider.keys["second"] = Ed25519PrivateKey.generate()
    token = provider.sign("second", "EdDSA")
    provider.broken = True
    for _ in range(2):  # the first one asks the provider, the next one knows that it did not answer
        auth._provider._next_fetch_at = min(auth._provider._next_fetch_at, 0.0)  # type: ignore[union-attr]
        with pytest.raises(ApiError) as refused:
            await auth.verify(token)
        assert refused.value.code is ErrorCode.UNAVAILABLE
        assert refused.value.retry_after_seconds
    assert (await auth.verify(provider.sign())).person_id == 456, "a known key needs no provider"
    provider.broken = False
    auth._provider._next_fetch_at = 0.0  # type: ignore[union-attr]
    assert (await auth.verify(token)).person_id == 456
    with pytest.raises(ApiError) as refused:
        await auth.verify(provider.sign(headers={"kid": "forged"}))
    assert refused.value.code is ErrorCode.UNAUTHORIZED


@pytest.mark.parametrize("more", [{"sub": 456}, {"jti": 17}, {"jti": None}])
async def test_numbers_are_taken_where_providers_write_them(
    open_auth: Open, provider: IdentityProvider, more: dict[str, Any]
) -> None:
    auth = await with_provider(open_auth, provider.url)
    token = _signed_as_is(provider, more)
    caller = await auth.verify(token)
    assert caller.person_id == 456
    await auth.revoke_token(str(more["jti"]) if more.get("jti") else token)
    with pytest.raises(ApiError):
        await auth.verify(token)


@pytest.mark.parametrize("sub", [None, 7, "auth0|7"])
async def test_the_claim_that_names_the_person_decides_whatever_sub_is(
    open_auth: Open, provider: IdentityProvider, sub: object
) -> None:
    auth = await open_auth(jwks=provider.url, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_person_claim="uid")
    assert (await auth.verify(_signed_as_is(provider, {"sub": sub, "uid": 456}))).person_id == 456


def _signed_as_is(provider: IdentityProvider, more: dict[str, Any]) -> str:
    """A token with these claims, types that the signing library would refuse too."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "456", "exp": 1_720_000_060, "iat": 1_720_000_000, **more}
    return jwt.PyJWS().encode(json.dumps(claims).encode(), provider.keys["first"], "ES256", headers={"kid": "first"})


@pytest.mark.parametrize("declared", ["EdDSA", "Ed25519", None])
@pytest.mark.parametrize("named", ["EdDSA", "Ed25519"])
async def test_ed25519_goes_by_both_of_its_names(
    open_auth: Open, provider: IdentityProvider, tmp_path: Path, declared: str | None, named: str
) -> None:
    key = provider.keys["first"] = Ed25519PrivateKey.generate()
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [published("first", key, **({"alg": declared} if declared else {}))]}))
    auth = await with_provider(open_auth, str(path))
    assert (await auth.verify(provider.sign("first", named))).person_id == 456


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": 7}',
        b'{"keys": null}',
        b'{"keys": [7]}',
        b"\xff",
        b'{"keys": [{"kty": "\xff"}]}',
        b'{"keys": [{"kty": "EC", "crv": ["P-256"]}]}',
        b'{"keys": [{"kty": "EC", "crv": "P-256", "x": 7, "y": null}]}',
        b'{"keys": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
    ids=range(13),
)
async def test_a_file_that_is_no_jwks_stops_the_start(open_auth: Open, tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(text)
    with pytest.raises(JwksError):
        await with_provider(open_auth, str(path))


@pytest.mark.parametrize("source", ["/nowhere/jwks.json", "ftp://login.example/jwks"])
async def test_a_source_that_can_not_be_read_is_named(open_auth: Open, source: str) -> None:
    with pytest.raises(JwksError, match="file"):
        await with_provider(open_auth, source)


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_a_key_that_declares_no_algorithm_may_be_used_with_those_of_its_type(
    open_auth: Open, provider: IdentityProvider, algorithm: str
) -> None:
    key = rsa.generate_private_key(65_537, 2_048)
    provider.keys = {"undeclared": key, "declared": key}
    provider.declared = {"declared": "RS256"}
    auth = await with_provider(open_auth, provider.url)
    assert (await auth.verify(provider.sign("undeclared", algorithm))).person_id == 456
    assert auth.refusals.counts["algorithm"] == 0
    # HMAC with what is published, and no signature, are never among them.
    for secret, forged in ((str(key.public_key().public_numbers().n), "HS256"), (None, "none")):
        token = jwt.encode({"sub": "456"}, secret, forged, headers={"kid": "undeclared"})
        with pytest.raises(ApiError):
            await auth.verify(token)
    assert auth.refusals.counts["algorithm"] == 2
    if algorithm != "RS256":
        with pytest.raises(ApiError):
            await auth.verify(provider.sign("declared", algorithm))
        assert auth.refusals.counts["algorithm"] == 3


def test_only_fit_keys_are_taken() -> None:
    p256, small = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65_537, 1_024)
    private = jwt.algorithms.ECAlgorithm.to_jwk(p256, as_dict=True)
    keys = [
        published("good", p256),
        published("for-encryption", p256, use="enc"),
        published("other-algorithm", p256, alg="RS256"),
        published("none", p256, alg="none"),
        published("weak", small),
        {**private, "kid": "private"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "symmetric", "alg": "HS256"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "damaged"},
    ]
    assert {kid: key.algorithms for kid, key in parse_jwks(json.dumps({"keys": keys}).encode()).items()} == {
        "good": ("ES256",)
    }


async def test_a_revoked_token_of_the_provider_needs_no_id(open_auth: Open, provider: IdentityProvider) -> None:
    auth = await with_provider(open_auth, provider.url)
    token = provider.sign()
    await auth.verify(token)
    await auth.revoke_token(token)
    with pytest.raises(ApiError):
        await auth.verify(token)


async def test_a_token_without_a_time_of_issue_is_hit_by_any_revocation_of_its_person(
    open_auth: Open, provider: IdentityProvider
) -> None:
    auth = await with_provider(open_auth, provider.url)
    token = provider.sign(iat=None)
    await auth.verify(token)
    await auth.revoke_person(456)
    with pytest.raises(ApiError):
        await auth.verify(token)


async def test_the_own_key_in_another_deployment_says_nothing_here(open_auth: Open, tmp_path: Path) -> None:
    auth = await open_auth()
    stranger = load_or_create(tmp_path / "elsewhere.pem")
    with pytest.raises(ApiError):
        await auth.verify(mint_person(stranger, 456, 60, 1_720_000_000_000))


async def test_a_client_that_hangs_up_in_its_form_leaves_nothing_behind(client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"POST /twilio HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nX-Twilio-Signature: x\r\n\r\nabc")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert reader is not None
    async with aiohttp.ClientSession() as session, session.get(client.make_url("/twilio")) as answer:
        assert answer.status == 401
