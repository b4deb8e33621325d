"""A real Keycloak signs people in to Buzz, with the settings of docs/identity-providers.md.

Everything is one test, so that Keycloak is started once, whatever number of processes the tests run in. The realm is
imported from a file as an operator would write it; each client shows one way to issue tokens.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page, expect

from tests.fakes.browser import open_browser
from tests.fakes.sign_in import SignInPages, only_sign_in, sign_in_pages
from tests.harness.backend import SQLITE
from tests.harness.clock import Clock
from tests.harness.page_settings import page_settings
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.waiting import until
from tests.harness.watch import Watch
from tests.harness.world import World, open_world
from tests.servers.keycloak import PASSWORD, Keycloak, distribution, running_keycloak

pytestmark = pytest.mark.usual_backends(SQLITE)

ROUTE = "/apps/buzz/heartbeat"
DOTTED: Final = r"https://buzz\.example/person_id"


# --- the realm ------------------------------------------------------------------------------------------------------


def _mapper(kind: str, **config: str) -> dict[str, Any]:
    return {
        "name": f"{kind} {len(config)}",
        "protocol": "openid-connect",
        "protocolMapper": kind,
        "config": {name.replace("_", "."): value for name, value in config.items()} | {"access.token.claim": "true"},
    }


def _audience(name: str) -> dict[str, Any]:
    return _mapper("oidc-audience-mapper", included_custom_audience=name)


def _person(claim: str, **more: str) -> dict[str, Any]:
    made = _mapper("oidc-usermodel-attribute-mapper", claim_name=claim, jsonType_label="long", **more)
    made["config"]["user.attribute"] = "person_id"
    return made


def _client(name: str, *mappers: dict[str, Any], algorithm: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "clientId": name,
        "publicClient": True,
        "directAccessGrantsEnabled": True,  # so that the test needs no browser
        "protocolMappers": list(mappers),
        "attributes": {"access.token.signed.response.alg": algorithm} if algorithm else {},
        **more,
    }


def _user(name: str, **attributes: Any) -> dict[str, Any]:
    return {
        "username": name,
        "enabled": True,
        "firstName": name,
        "lastName": "Smith",
        "email": f"{name}@buzz.example",
        "emailVerified": True,
        "credentials": [{"type": "password", "value": PASSWORD, "temporary": False}],
        "attributes": {key: [str(value)] for key, value in attributes.items()},
        "realmRoles": ["default-roles-people"],  # as every user has who is made in another way than by an import
    }


ALGORITHMS: Final = ("RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA")
NESTED: Final = (_audience("buzz"), _person("buzz.person_id"))
PROFILE: Final = {
    "attributes": [
        *({"name": name, "permissions": {"view": ["admin", "user"], "edit": ["admin", "user"]}}
          for name in ("username", "email", "firstName", "lastName")),
        {"name": "person_id", "permissions": {"view": ["admin"], "edit": ["admin"]}},
    ]
}  # fmt: skip
REALM: Final = {
    "realm": "people",
    "enabled": True,
    # Keycloak's own choice, Argon2, costs half a second of processor time for each sign-in.
    "passwordPolicy": "hashAlgorithm(pbkdf2-sha256) and hashIterations(1)",
    "clients": [
        _client("app", *NESTED),
        *(_client(f"app-{each}", *NESTED, algorithm=each) for each in ALGORITHMS),
        _client("several-audiences", _audience("another"), {**_audience("buzz"), "name": "second"}, NESTED[1]),
        _client("dotted-list", NESTED[0], _person(DOTTED, multivalued="true")),
        _client("no-mappers"),
        _client("no-audience", NESTED[1], defaultClientScopes=["basic"], fullScopeAllowed=False),
    ],
    "users": [
        _user("jane", person_id=JANE),
        _user("bob", person_id=BOB),
        _user("nobody"),
        {**_user("operator"), "clientRoles": {"realm-management": ["realm-admin"]}},
    ],
    "components": {
        "org.keycloak.userprofile.UserProfileProvider": [
            {"providerId": "declarative-user-profile", "config": {"kc.user.profile.config": [json.dumps(PROFILE)]}}
        ]
    },
}


# --- what is asked --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """Keycloak, and Buzz nodes with the page's settings, one after the other on the same data directory."""

    keycloak: Keycloak
    data_dir: Path
    watch: Watch
    clock: Clock

    def buzz(self, **changed: Any) -> Any:
        """Return a node to be entered: with the settings of the page, and these instead."""
        found = page_settings("Keycloak", {"https://keycloak.example": self.keycloak.url, "REALM": self.keycloak.realm})
        return open_world(self.data_dir, self.clock, **{**found, **changed})

    async def checked(self, world: World, token: str) -> dict[str, Any]:
        """Return what `run.py token check` shows; the answer of a route must agree with it."""
        admin = world.http(token=world.tokens.service("admin"))
        found: dict[str, Any] = (await admin("POST", "/admin/tokens/check", json={"token": token})).json
        assert (await world.http(token=token).get(ROUTE)).status == (200 if found["accepted"] else 401)
        return found

    def logged(self) -> list[str]:
        return [line["detail"] for line in self.watch.log if line["event"] == "token refused"]


async def two_people_talk(scene: Scene) -> None:
    async with scene.buzz() as world:
        jane, bob = await world.connect(), await world.connect()
        assert (await jane.hello(await scene.keycloak.token("app", "jane")))["person_id"] == JANE
        assert (await bob.hello(await scene.keycloak.token("app", "bob")))["person_id"] == BOB
        ack = await jane.ask("send", activity=chat(JANE, BOB))
        await bob.until(lambda seen: ack["id"] in seen.ids)
        renewed = await jane.ask("refresh", token=await scene.keycloak.token("app", "jane"))
        assert renewed["type"] == "refreshed"


async def every_signature_algorithm_is_accepted(scene: Scene) -> None:
    async with scene.buzz() as world:
        for client in ("app", *(f"app-{each}" for each in ALGORITHMS)):
            found = await scene.checked(world, await scene.keycloak.token(client, "jane"))
            assert found["subject"] == f"person:{JANE}", (client, found)
            alg = next(part["value"] for part in found["checks"] if part["check"] == "alg")
            assert alg == json.dumps(client.partition("-")[2] or "RS256")
        assert {part["result"] for part in found["checks"]} == {"ok"}


async def the_audience_may_be_one_of_several(scene: Scene) -> None:
    async with scene.buzz() as world:
        found = await scene.checked(world, await scene.keycloak.token("several-audiences", "jane"))
        assert found["accepted"], found


async def a_claim_with_a_dot_in_its_name_and_a_list_of_one_value(scene: Scene) -> None:
    token = await scene.keycloak.token("dotted-list", "jane")
    for path in (DOTTED, DOTTED.replace("\\", "")):
        async with scene.buzz(jwt_person_claim=path) as world:
            assert (await scene.checked(world, token))["subject"] == f"person:{JANE}"


async def a_client_without_mappers_is_refused_and_the_log_says_why(scene: Scene) -> None:
    async with scene.buzz() as world:
        answer = await world.http(token=await scene.keycloak.token("no-mappers", "jane")).get(ROUTE)
        assert answer.status == 401
        assert "error_description=\"the token's audience is not this server's\"" in answer.headers["WWW-Authenticate"]
        assert scene.logged()[-1] == 'aud is "account", BUZZ_JWT_AUDIENCE is "buzz"'


async def a_token_without_an_audience_is_accepted_by_its_client(scene: Scene) -> None:
    token = await scene.keycloak.token("no-audience", "jane")
    async with scene.buzz() as world:
        assert (await scene.checked(world, token))["reason"] == "audience"
        assert scene.logged()[-1].startswith("there is no aud, ")
    async with scene.buzz(jwt_client_claim="azp", jwt_client_ids=("web", "no-audience")) as world:
        assert (await scene.checked(world, token))["subject"] == f"person:{JANE}"
        # A token with another audience stays refused, though its client is accepted too.
        assert (await scene.checked(world, await scene.keycloak.token("no-mappers", "jane")))["reason"] == "audience"
    async with scene.buzz(jwt_client_claim="azp", jwt_client_ids=("web",)) as world:
        assert (await scene.checked(world, token))["reason"] == "audience"


async def a_user_without_the_attribute_is_nobody(scene: Scene) -> None:
    async with scene.buzz() as world:
        assert (await scene.checked(world, await scene.keycloak.token("app", "nobody")))["reason"] == "person"
        assert scene.logged()[-1].startswith("buzz.person_id is missing, and must be a person's id")


async def another_realms_token_and_another_issuer_are_refused(scene: Scene) -> None:
    async with scene.buzz() as world:
        assert (await scene.checked(world, await scene.keycloak.foreign_token()))["reason"] == "key"
    token = await scene.keycloak.token("app", "jane")
    async with scene.buzz(jwt_issuer=f"{scene.keycloak.url}/realms/people/") as world:
        assert (await scene.checked(world, token))["reason"] == "issuer"
        assert scene.logged()[-1].endswith("(they differ in the slash at the end)")


async def a_token_expires_and_can_be_revoked_before(scene: Scene) -> None:
    async with scene.buzz() as world:
        first, second = [await scene.keycloak.token("app", "jane") for _ in range(2)]
        admin = world.http(token=world.tokens.service("admin"))
        assert (await admin("POST", "/admin/revocations", json={"token": first})).status == 201
        assert (await scene.checked(world, first))["reason"] == "revoked"
        assert (await scene.checked(world, second))["accepted"]
        scene.clock.turn(600)
        try:
            assert (await scene.checked(world, second))["reason"] == "expired"
        finally:
            scene.clock.turn(-600)


async def people_sign_in_to_the_web_app(scene: Scene) -> None:
    """In Chromium, at Keycloak's own pages, with refresh tokens that may be used once."""
    with only_sign_in(scene.data_dir / "app"):
        async with (
            scene.buzz(oidc_client_id="web") as world,
            open_browser() as browser,
            sign_in_pages(browser, world.url) as pages,
        ):
            await _sign_in_and_out(scene, world, pages)


async def _sign_in_and_out(scene: Scene, world: World, pages: SignInPages) -> None:
    made = _client("web", *NESTED, redirectUris=[f"{world.url}/"], webOrigins=["+"])
    made["attributes"] = {"pkce.code.challenge.method": "S256", "post.logout.redirect.uris": "+"}
    await scene.keycloak.admin("POST", "/clients", json={**made, "directAccessGrantsEnabled": False})
    await scene.keycloak.admin("PUT", "", json={"revokeRefreshToken": True, "refreshTokenMaxReuse": 0})

    tab = await pages.open("/#chat")
    await _at_keycloak(tab.page, "nobody")
    await expect(tab.page.get_by_role("alert")).to_contain_text("The server does not accept this token")
    assert tab.page.url == f"{world.url}/#chat", "the code is gone from the address, and the place in the app is kept"
    await tab.page.get_by_role("button", name="Sign out of").click()
    await _at_keycloak(tab.page, "jane")
    await expect(tab.page.locator("#root")).to_have_text(f"Signed in: Jane Smith ({JANE})")

    # A second tab and a reload ask nothing; both tabs renew, and neither uses a refresh token twice.
    other = await pages.open()
    await tab.page.reload()
    tokens = []
    for each in (tab, other):
        await expect(each.page.locator("#root")).to_contain_text("Jane Smith")
    for _ in range(3):
        tokens += await asyncio.gather(tab.token(), other.token())
    assert len(set(tokens)) == 3, "one tab takes what the other has got"
    for token in tokens:
        assert (await world.http(token=token).get(ROUTE)).status == 200

    # Signing out ends the sign-in at Keycloak too, and in every tab.
    await tab.page.evaluate("() => void session.signOut()")
    for each in (tab, other):
        await expect(each.page.get_by_role("button", name="Sign in with")).to_be_visible()
    await _at_keycloak(tab.page, "jane")
    await expect(tab.page.locator("#root")).to_contain_text("Jane Smith")

    # The operator ends the sign-in at Keycloak.
    [jane] = await scene.keycloak.admin("GET", "/users?username=jane")
    await scene.keycloak.admin("POST", f"/users/{jane['id']}/logout")
    await tab.token()
    refused = await tab.page.evaluate("() => session.token().catch(({ code, message }) => [code, message])")
    assert refused == ["token_refused", "Your sign-in has ended. Sign in again."]
    await tab.page.evaluate("([, why]) => void signInAgain(why)", refused)
    await expect(tab.page.get_by_role("alert")).to_have_text("Your sign-in has ended. Sign in again.")


async def _at_keycloak(page: Page, user: str) -> None:
    await page.get_by_role("button", name="Sign in with").click()
    await page.locator("#username").fill(user)
    await page.locator("#password").fill(PASSWORD)
    await page.locator("#kc-login").click()


async def keys_are_changed_with_an_overlap(scene: Scene) -> None:
    """Last, because it removes the realm's first RSA key."""
    keycloak = scene.keycloak
    async with scene.buzz() as world:
        old = await keycloak.token("app", "jane")
        session = await world.connect()
        await session.hello(old)
        rsa = "parent={}&type=org.keycloak.keys.KeyProvider"
        realm = await keycloak.admin("GET", "")
        before = [
            each
            for each in await keycloak.admin("GET", "/components?" + rsa.format(realm["id"]))
            if each["providerId"] == "rsa-generated"
        ]
        config = {"priority": ["1000"], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"]}
        new_key = {
            "name": "new", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider",
            "parentId": realm["id"], "config": config,
        }  # fmt: skip
        await keycloak.admin("POST", "/components", json=new_key)
        new = await keycloak.token("app", "jane")
        assert (await scene.checked(world, new))["accepted"], "the keys are read again for an unknown one"
        assert (await scene.checked(world, old))["accepted"], "the old key is still published"
        for each in before:
            await keycloak.admin("DELETE", f"/components/{each['id']}")
        await until(lambda: session.closed)
        assert (session.close_code, session.close_reason) == (4401, "the token's signing key is no longer in force")
        assert (await scene.checked(world, old))["reason"] == "key_removed"
        assert (await scene.checked(world, new))["accepted"]


CHECKS: Final[tuple[Callable[[Scene], Awaitable[None]], ...]] = (
    two_people_talk,
    every_signature_algorithm_is_accepted,
    the_audience_may_be_one_of_several,
    a_claim_with_a_dot_in_its_name_and_a_list_of_one_value,
    a_client_without_mappers_is_refused_and_the_log_says_why,
    a_token_without_an_audience_is_accepted_by_its_client,
    a_user_without_the_attribute_is_nobody,
    another_realms_token_and_another_issuer_are_refused,
    a_token_expires_and_can_be_revoked_before,
    people_sign_in_to_the_web_app,
    keys_are_changed_with_an_overlap,
)


async def test_keycloak_signs_people_in(
    data_dir: Path, tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.auth.authentication.REFRESH_SECONDS", 0.2)
    monkeypatch.setattr("server.auth.jwks.MIN_REFRESH_SECONDS", 0.0)
    failed: list[Exception] = []
    async with running_keycloak(distribution(), tmp_path, REALM) as keycloak:
        for check in CHECKS:
            try:
                await check(Scene(keycloak, data_dir, watch, Clock()))
            except Exception as error:  # noqa: BLE001 - all of them are raised below, each with its name
                error.add_note(check.__name__)
                failed.append(error)
    if failed:
        raise ExceptionGroup("with Keycloak", failed)
