"""/admin: sessions, revocations, figures, erasure, backups, doctor, the log level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import structlog
from aiohttp import web
from pydantic import Field, TypeAdapter, model_validator

from protocol.activity import Id
from protocol.errors import ApiError, ErrorCode
from protocol.validation import Strict
from server.auth.authentication import Authentication
from server.auth.inspection import CheckedToken
from server.cluster.nodes import Nodes
from server.config.logs import current_level, set_level
from server.config.settings import LogLevel, Settings
from server.http.operations import Operation, operation
from server.http.requests import read_json, read_query
from server.http.responses import JsonResponse, json_response
from server.live.hub import Hub
from server.live.session import Session
from server.routes.admin_answers import (
    LevelAnswer,
    NodeList,
    RevokedAnswer,
    SessionList,
    node_answer,
    revoked_answer,
    session_answer,
)
from server.routes.health import Check
from server.services.operator.backups import Backup, Backups
from server.services.operator.census import Census, Stats
from server.services.operator.doctor import Finding, examine_machine, examine_services, examine_storage
from server.services.operator.erasure import Erased, Erasure, ErasurePreview
from storage.accounts import AccountStore
from storage.contract import ActivityLog
from storage.database import Database
from storage.errors import StorageUnavailable

MAX_LISTED: Final = 1_000
_logger = structlog.get_logger("admin")


class NewRevocation(Strict):
    """``POST /admin/revocations``: one token (whole, or its id), or every token that a person has now."""

    token: Annotated[str, Field(min_length=1, max_length=8_192)] | None = None
    """The token or its id, to revoke this token."""
    person_id: Id | None = None
    """The person, to revoke every token that they have now."""

    @model_validator(mode="after")
    def _one_of_them(self) -> NewRevocation:
        if (self.token is None) == (self.person_id is None):
            raise ValueError("Give either 'token' or 'person_id'.")
        return self


class TokenToCheck(Strict):
    """``POST /admin/tokens/check``: a whole token, also one that is too long to be accepted."""

    token: Annotated[str, Field(min_length=1, max_length=65_536)]
    """The whole token, also one that is too long to be accepted."""


class NewErasure(Strict):
    """``POST /admin/erasures``. ``dry_run``: return what is stored about the person, and erase nothing."""

    person_id: Id
    dry_run: bool = False
    """Report what is stored about the person, and erase nothing."""


class Level(Strict):
    """``PUT /admin/log-level``."""

    level: Annotated[LogLevel, Field(strict=False)]
    """The lowest level to log."""


class SessionsQuery(Strict):
    """``GET /admin/sessions``: of one person only, if ``person_id`` is given."""

    person_id: Annotated[int, Field(strict=False, ge=1, le=2**63 - 1)] | None = None
    """Only the sessions of this person."""


_REVOCATION: TypeAdapter[NewRevocation] = TypeAdapter(NewRevocation)
_TO_CHECK: TypeAdapter[TokenToCheck] = TypeAdapter(TokenToCheck)
_ERASURE: TypeAdapter[NewErasure] = TypeAdapter(NewErasure)
_LEVEL: TypeAdapter[Level] = TypeAdapter(Level)
_SESSIONS: TypeAdapter[SessionsQuery] = TypeAdapter(SessionsQuery)


def _described(id: str, summary: str, **more: Any) -> Operation:
    more.setdefault("errors", (400, 401, 403, 503))
    return Operation(id, summary, "operation", credential="admin", **more)


@dataclass(frozen=True)
class SessionListResource:
    """The live sessions of this node."""

    auth: Authentication
    hub: Hub
    accounts: AccountStore

    @operation(
        _described("listSessions", f"The live sessions of this node, at most {MAX_LISTED} of them", query=SessionsQuery)
    )
    async def list_sessions(self, request: web.Request) -> JsonResponse[SessionList]:
        await self.auth.admin(request)
        person_id = read_query(request, _SESSIONS).person_id
        found = list(self.hub) if person_id is None else self.hub.sessions_of(person_id)
        listed = found[:MAX_LISTED]
        received = await _received_ids(self.accounts, listed)
        shown = [session_answer(each, self.hub.head, newest) for each, newest in zip(listed, received, strict=True)]
        return json_response(SessionList(len(found), shown))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/admin/sessions", self.list_sessions)]


@dataclass(frozen=True)
class NodeListResource:
    """The nodes of the cluster."""

    auth: Authentication
    nodes: Nodes

    @operation(_described("listNodes", "The nodes of the cluster, as this one hears them"))
    async def list_nodes(self, request: web.Request) -> JsonResponse[NodeList]:
        await self.auth.admin(request)
        return json_response(NodeList([node_answer(each) for each in self.nodes.all()]))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/admin/nodes", self.list_nodes)]


@dataclass(frozen=True)
class RightsResource:
    """Revocations and erasures."""

    auth: Authentication
    erasure: Erasure

    @operation(_described("revokeTokens", "Revoke a token, or all tokens of a person", body=NewRevocation, status=201))
    async def revoke(self, request: web.Request) -> JsonResponse[RevokedAnswer]:
        caller = await self.auth.admin(request)
        wanted = await read_json(request, _REVOCATION)
        try:
            if wanted.person_id is not None:
                made = await self.auth.revoke_person(wanted.person_id)
            else:
                made = await self.auth.revoke_token(str(wanted.token))
        except ValueError as error:
            raise ApiError(ErrorCode.BAD_REQUEST, f"Invalid parameter: 'token': {error}") from error
        _logger.info("revoked", by=caller.subject, token_id=made.token_id, person_id=made.person_id)
        return json_response(revoked_answer(made), status=201)

    @operation(_described("checkToken", "Explain whether a token would be accepted, claim by claim", body=TokenToCheck))
    async def check(self, request: web.Request) -> JsonResponse[CheckedToken]:
        await self.auth.admin(request)
        return json_response(await self.auth.check((await read_json(request, _TO_CHECK)).token))

    @operation(_described("erasePerson", "Erase a person and what they wrote", body=NewErasure))
    async def erase(self, request: web.Request) -> JsonResponse[Erased | ErasurePreview]:
        caller = await self.auth.admin(request)
        wanted = await read_json(request, _ERASURE)
        if wanted.dry_run:
            return json_response(await self.erasure.preview(wanted.person_id))
        done = await self.erasure.person(wanted.person_id, f"admin:{caller.subject}")
        _logger.info("person erased", by=caller.subject, **asdict(done))
        return json_response(done)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/admin/revocations", self.revoke),
            web.post("/admin/tokens/check", self.check),
            web.post("/admin/erasures", self.erase),
        ]


@dataclass(frozen=True)
class FiguresResource:
    """The figures and the log level of this node."""

    auth: Authentication
    census: Census

    @operation(_described("getStats", "The figures of this node"))
    async def stats(self, request: web.Request) -> JsonResponse[Stats]:
        await self.auth.admin(request)
        return json_response(await self.census.take())

    @operation(_described("getLogLevel", "The log level of this node"))
    async def level(self, request: web.Request) -> JsonResponse[LevelAnswer]:
        await self.auth.admin(request)
        return json_response(LevelAnswer(current_level()))

    @operation(_described("setLogLevel", "Set the log level of this node until it restarts", body=Level))
    async def change_level(self, request: web.Request) -> JsonResponse[LevelAnswer]:
        caller = await self.auth.admin(request)
        wanted = (await read_json(request, _LEVEL)).level
        set_level(wanted)
        # As a warning: at info, a change to warning, which silences the lines of info, would leave no line itself.
        _logger.warning("log level changed", by=caller.subject, now=wanted.value)
        return json_response(LevelAnswer(wanted))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/admin/stats", self.stats),
            web.get("/admin/log-level", self.level),
            web.put("/admin/log-level", self.change_level),
        ]


@dataclass(frozen=True)
class StorageResource:
    """Backups and the doctor."""

    auth: Authentication
    backups: Backups
    settings: Settings
    database: Database
    log: ActivityLog
    services: Mapping[str, Check]

    @operation(
        _described(
            "createBackup",
            "Copy the database to a backup in the data directory",
            status=201,
            errors=(401, 403, 409, 503),
        )
    )
    async def back_up(self, request: web.Request) -> JsonResponse[Backup]:
        await self.auth.admin(request)
        return json_response(await self.backups.make(), status=201)

    @operation(
        _described(
            "runDoctor",
            "Check everything that the node depends on; reads the whole SQLite file",
        )
    )
    async def doctor(self, request: web.Request) -> JsonResponse[list[Finding]]:
        await self.auth.admin(request)
        found = [
            *examine_machine(self.settings),
            *await examine_storage(self.settings, self.database, self.log),
            *await examine_services(self.services),
        ]
        return json_response(found)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/admin/backups", self.back_up), web.get("/admin/doctor", self.doctor)]


async def _received_ids(accounts: AccountStore, sessions: Sequence[Session]) -> list[int]:
    """Return the newest id that each session's device has confirmed, in this session or an earlier one."""
    devices = {(each.caller.person, each.device_id) for each in sessions if each.device_id is not None}
    try:
        stored = await accounts.received_ids(devices)
    except StorageUnavailable:
        stored = {}  # the sessions can be listed without storage
    return [max(each.received_id, stored.get((each.caller.person, each.device_id or ""), 0)) for each in sessions]
