"""GET /app/sign-in.json: how people sign in to the web app; POST /dev/token: a demo person's token, in development."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from pydantic import TypeAdapter

from protocol.activity import Id
from protocol.errors import ApiError, ErrorCode
from protocol.validation import Strict
from server.auth.authentication import Authentication
from server.auth.openid import OpenidError, OpenidProvider
from server.http.operations import Operation, operation
from server.http.requests import read_json
from server.http.responses import JsonResponse, json_response
from server.live.parties import Parties

DEV_TOKEN_SECONDS: Final = 3_600
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_OPERATION: Final = Operation("", "", "app", credential="none", listed=False)


class DemoPerson(msgspec.Struct, frozen=True):
    """Somebody of the demo directory."""

    id: int
    name: str


class OpenidSignIn(msgspec.Struct, frozen=True):
    """What the app needs to sign a person in at the identity provider."""

    name: str
    issuer: str
    client_id: str
    scope: str
    audience: str | None
    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str | None
    names_itself: bool


class SignInAnswer(msgspec.Struct, frozen=True):
    """The ways to sign in. ``openid_fault``: why the identity provider can't be used now."""

    demo_people: list[DemoPerson]
    openid: OpenidSignIn | None
    openid_fault: str | None


class DevTokenAnswer(msgspec.Struct, frozen=True):
    """A demo person's access token."""

    token: str


class _Wanted(Strict):
    person: Id


_WANTED: TypeAdapter[_Wanted] = TypeAdapter(_Wanted)


class SignInResource:
    """How people sign in. ``demo_people``: by id, those of the demo; empty outside development mode."""

    def __init__(
        self, auth: Authentication, parties: Parties, openid: OpenidProvider | None, demo_people: Mapping[int, str]
    ) -> None:
        self._auth = auth
        self._parties = parties
        self._openid = openid
        self._demo_people = demo_people

    @operation(_OPERATION)
    async def ways(self, request: web.Request) -> JsonResponse[SignInAnswer]:
        people = await self._people() if self._demo_people and _is_local(request) else []
        try:
            openid, fault = await self._provider(), None
        except OpenidError as error:
            openid, fault = None, str(error)
        return json_response(SignInAnswer(people, openid, fault), headers=_HEADERS)

    @operation(_OPERATION)
    async def dev_token(self, request: web.Request) -> JsonResponse[DevTokenAnswer]:
        if not _is_local(request) or not _is_own_page(request):
            message = "Forbidden: demo tokens are only for the page of this server, opened on this machine."
            raise ApiError(ErrorCode.FORBIDDEN, f"{message} Use `run.py token create` instead.")
        person = (await read_json(request, _WANTED)).person
        if person not in {each.id for each in await self._people()}:
            raise ApiError(ErrorCode.NOT_FOUND, "Not Found: this is not one of the demo people.")
        return json_response(DevTokenAnswer(self._auth.mint_person(person, DEV_TOKEN_SECONDS)), headers=_HEADERS)

    async def _people(self) -> list[DemoPerson]:
        await self._parties.load(self._demo_people)
        there = [(id, self._parties.get(id)) for id in self._demo_people]
        return [DemoPerson(id, found.name.display) for id, found in there if found is not None]

    async def _provider(self) -> OpenidSignIn | None:
        provider = self._openid
        if provider is None:
            return None
        document = await provider.found()
        return OpenidSignIn(
            provider.name,
            provider.issuer,
            provider.client_id,
            provider.scope,
            provider.audience,
            document.authorization_endpoint,
            document.token_endpoint,
            document.end_session_endpoint,
            document.authorization_response_iss_parameter_supported,
        )

    def routes(self) -> list[web.RouteDef]:
        """Return the routes; that of the tokens only if there are demo people."""
        development = [web.post("/dev/token", self.dev_token)] if self._demo_people else []
        return [web.get("/app/sign-in.json", self.ways), *development]


def _is_local(request: web.Request) -> bool:
    """Return whether the request comes from this machine, was sent to it by that name, and passed through no proxy.

    The name matters: a page of another host may have its name lead to 127.0.0.1 (DNS rebinding).
    """
    if any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "Via")):
        return False
    return _is_loopback(request.transport) and _host(f"//{request.host}") in _LOOPBACK_NAMES


def _is_loopback(transport: asyncio.BaseTransport | None) -> bool:
    peer = transport.get_extra_info("peername") if transport is not None else None
    return peer is not None and ipaddress.ip_address(peer[0]).is_loopback


def _is_own_page(request: web.Request) -> bool:
    """Return whether a page of this server asks: browsers name a POST's origin, and other sites can't change that."""
    origin = urlsplit(request.headers.get("Origin", ""))
    same_site = request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    return origin.scheme in ("http", "https") and origin.netloc == request.host and same_site


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
