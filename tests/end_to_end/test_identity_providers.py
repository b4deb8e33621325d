"""Tokens of the forms of Auth0, Entra ID, Cognito and Firebase, with the settings of docs/identity-providers.md.

An issuer of the tests signs them and serves its keys over HTTP or HTTPS. Keycloak has tests of its own.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import trustme

from server.auth.refusals import RefusalReason
from tests.harness.backend import SQLITE
from tests.harness.commands import serving
from tests.harness.http import Http
from tests.harness.issuer import Issuer, issuer
from tests.harness.page_settings import PAGE, page_settings
from tests.harness.people import JANE
from tests.harness.watch import Watch
from tests.harness.world import World, open_world

pytestmark = pytest.mark.usual_backends(SQLITE)

ROUTE = "/apps/buzz/heartbeat"
TENANT = "5f0a5c0e-6a3c-4b0e-9a37-0c5a1e7c1b11"
CLIENT = "0c5a1e7c-1b11-4b0e-9a37-5f0a5c0e6a3c"


@dataclass(frozen=True)
class Form:
    """One provider: the placeholders of its settings, a token's claims, and what makes a token wrong."""

    placeholders: Mapping[str, str]
    claims: Mapping[str, Any]
    wrong: Mapping[RefusalReason, Mapping[str, Any]]
    header: Mapping[str, Any] = field(default_factory=dict)
    declares_algorithm: bool = True


FORMS = {
    "Auth0": Form(
        {"TENANT": "buzz-people"},
        {
            "iss": "https://buzz-people.auth0.com/",
            "sub": "auth0|65a1f0c2e4b0a1b2c3d4e5f6",
            "aud": ["https://buzz.example/api", "https://buzz-people.auth0.com/userinfo"],
            "azp": "my-app",
            "scope": "openid profile offline_access",
            "https://buzz.example/person_id": JANE,
        },
        {
            RefusalReason.AUDIENCE: {"aud": "https://buzz-people.auth0.com/userinfo"},
            RefusalReason.ISSUER: {"iss": "https://buzz-people.auth0.com"},
            RefusalReason.PERSON: {"https://buzz.example/person_id": None, "gty": "client-credentials"},
        },
        {"typ": "JWT"},
    ),
    "Microsoft Entra ID": Form(
        {"TENANT_ID": TENANT, "CLIENT_ID": CLIENT},
        {
            "aud": CLIENT,
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "nbf": 1_700_000_000,
            "aio": "AWQAm/8TAAAA",
            "azp": "b7b1d6a2-0000-4000-8000-000000000001",
            "azpacr": "0",
            "oid": str(uuid.UUID(int=7)),
            "scp": "access",
            "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
            "tid": TENANT,
            "uti": "fqiBqXLPj0eQa82S-IYFAA",
            "ver": "2.0",
            "extn.personId": [str(JANE)],
        },
        {
            RefusalReason.AUDIENCE: {"aud": "00000003-0000-0000-c000-000000000000"},
            RefusalReason.ISSUER: {"iss": f"https://sts.windows.net/{TENANT}/", "ver": "1.0"},
            RefusalReason.PERSON: {"extn.personId": [str(JANE), "7"]},
        },
        {"typ": "JWT", "x5t": "the-key"},
        declares_algorithm=False,
    ),
    "Amazon Cognito": Form(
        {"REGION": "eu-central-1", "POOL_ID": "eu-central-1_Ab1Cd2Ef3", "IOS_CLIENT_ID": "1example23456789"},
        {
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3",
            "client_id": "1example23456789",
            "origin_jti": str(uuid.UUID(int=8)),
            "event_id": str(uuid.UUID(int=9)),
            "token_use": "access",
            "scope": "openid",
            "auth_time": 1_700_000_000,
            "jti": str(uuid.UUID(int=10)),
            "username": "jane",
            "person_id": str(JANE),
        },
        {
            # An ID token has aud and no client_id, and is meant for the app itself.
            RefusalReason.AUDIENCE: {"aud": "1example23456789", "client_id": None, "token_use": "id"},
            RefusalReason.ISSUER: {"iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_another"},
            RefusalReason.PERSON: {"person_id": None},
        },
    ),
    "Firebase": Form(
        {"PROJECT_ID": "buzz-people"},
        {
            "iss": "https://securetoken.google.com/buzz-people",
            "aud": "buzz-people",
            "auth_time": 1_700_000_000,
            "user_id": "Zk3x0aYb1cWd2eVf3gUh4iTj5k",
            "sub": "Zk3x0aYb1cWd2eVf3gUh4iTj5k",
            "phone_number": "+12025550101",
            "firebase": {"identities": {"phone": ["+12025550101"]}, "sign_in_provider": "phone"},
            "person_id": JANE,
        },
        {
            RefusalReason.AUDIENCE: {"aud": "another-project"},
            RefusalReason.ISSUER: {"iss": "https://securetoken.google.com/another-project"},
            RefusalReason.PERSON: {"person_id": "+12025550101"},
        },
        {"typ": "JWT"},
    ),
}


def settings_of(name: str, local: Issuer) -> dict[str, Any]:
    """Return the page's settings. Only the address of the keys becomes the local issuer's; its path stays."""
    settings: dict[str, Any] = page_settings(name, FORMS[name].placeholders)
    settings["jwks"] = local.url + urlsplit(settings["jwks"]).path
    if "jwt_client_ids" in settings:
        settings["jwt_client_ids"] = tuple(settings["jwt_client_ids"].split(","))
    return settings


def claims_of(form: Form, changed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {name: value for name, value in {**form.claims, **(changed or {})}.items() if value is not None}


@pytest.mark.parametrize("name", FORMS)
async def test_the_pages_settings_accept_its_tokens_and_refuse_those_for_others(
    data_dir: Path, watch: Watch, name: str
) -> None:
    form = FORMS[name]
    async with issuer() as local:
        local.declares_algorithm = form.declares_algorithm
        async with open_world(data_dir, **settings_of(name, local)) as world:
            token = local.token(claims_of(form), **form.header)
            assert (await world.http(token=token).get(ROUTE)).status == 200
            peer = await world.connect()
            assert (await peer.hello(token))["person_id"] == JANE
            for reason, changed in form.wrong.items():
                bad = local.token(claims_of(form, changed), **form.header)
                assert (await world.http(token=bad).get(ROUTE)).status == 401, (name, reason)
                assert await _reason(world, bad) == reason
            assert "2025550101" not in repr(watch.log)


async def _reason(world: World, token: str) -> str | None:
    admin = world.http(token=world.tokens.service("admin"))
    found = (await admin("POST", "/admin/tokens/check", json={"token": token})).json
    return None if found["accepted"] else str(found["reason"])


async def test_a_key_without_an_algorithm_is_for_those_of_its_type_only(data_dir: Path, watch: Watch) -> None:
    form = FORMS["Microsoft Entra ID"]
    async with issuer() as local:
        local.declares_algorithm = False
        async with open_world(data_dir, **settings_of("Microsoft Entra ID", local)) as world:
            assert [await _reason(world, local.token(claims_of(form), each)) for each in ("RS512", "PS256")] == [
                None
            ] * 2
            assert "algorithm" not in [line.get("reason") for line in watch.log]


async def test_the_keys_are_read_over_https_and_another_authority_is_not_trusted(
    data_dir: Path, tmp_path: Path
) -> None:
    """With ``run.py serve`` as an operator starts it, and the variable that the page names."""
    authority, form = trustme.CA(), FORMS["Firebase"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with issuer(context) as local:
        environment = {f"BUZZ_{key.upper()}": value for key, value in settings_of("Firebase", local).items()}
        token = local.token(claims_of(form))
        trusted = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
        assert await _status(data_dir, token, {**environment, **trusted}) == 200
        assert await _status(data_dir, token, environment) == 503


async def _status(data_dir: Path, token: str, environment: Mapping[str, str]) -> int:
    """Return the status that a server with this environment answers. The issuer here serves meanwhile."""
    stack = ExitStack()
    server = await asyncio.to_thread(stack.enter_context, serving(data_dir, **environment))
    try:
        async with aiohttp.ClientSession() as session:
            return (await Http(session, server.url, token).get(ROUTE)).status
    finally:
        await asyncio.to_thread(stack.close)


def test_every_provider_of_the_page_is_tested() -> None:
    sections = [line[3:] for line in PAGE.read_text().splitlines() if line.startswith("## ")]
    assert sections == ["What Buzz needs", "Signing in to the web app", "Keycloak", *FORMS, "Other providers"]
