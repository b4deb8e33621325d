"""GET /healthz, /readyz, /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass
from typing import Literal

import msgspec
import structlog
from aiohttp import web

from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.responses import JsonResponse, json_response
from server.runtime.telemetry import CONTENT_TYPE, Metrics

CHECK_SECONDS = 2.0
"""A part that does not answer in this time counts as failed."""

_NOT_STORED = {"Cache-Control": "no-store"}
_logger = structlog.get_logger("health")

Check = Callable[[], Awaitable[None]]
"""Raises an exception if its part does not answer."""


Status = Literal["ready", "degraded", "unready", "draining"]
State = Literal["ok", "failed"]


class Liveness(msgspec.Struct, frozen=True):
    """The process runs."""

    status: Literal["ok"] = "ok"
    """Always `ok`."""


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether the node can serve requests, and whether the parts that it depends on answer."""

    status: Status
    """`ready`; `degraded` without a part that it can do without; `unready`; `draining` while it shuts down."""
    storage: State
    """The database answers."""
    writes: State
    """Activities can be stored."""
    bus: State | msgspec.UnsetType = msgspec.UNSET
    """The bus answers; absent if there is none."""


@dataclass(frozen=True)
class HealthResource:
    """Return the routes of health, readiness and metrics.

    By name: all ``checks`` must succeed for the node to be ready (``storage``, ``writes``); without ``conveniences``
    (``bus``) it works too, only slower, and reports that.
    """

    auth: Authenticator
    metrics: Metrics
    draining: Callable[[], bool]
    checks: Mapping[str, Check]
    conveniences: Mapping[str, Check]

    @operation(Operation("checkHealth", "Check that the process runs", "operation", credential="none"))
    async def healthz(self, _: web.Request) -> JsonResponse[Liveness]:
        return json_response(Liveness(), headers=_NOT_STORED)

    @operation(
        Operation(
            "checkReadiness",
            "Storage and bus answer, activities can be stored, and the node is not draining",
            "operation",
            credential="none",
            other_answers={503: Readiness},
        )
    )
    async def readyz(self, _: web.Request) -> JsonResponse[Readiness]:
        wanted = {**self.checks, **self.conveniences}
        states = await asyncio.gather(*(_state(check) for check in wanted.values()))
        found = dict(zip(wanted, states, strict=True))
        status = self._status({name for name, state in found.items() if state == "failed"})
        serves = status in ("ready", "degraded")
        headers = _NOT_STORED if serves else {**_NOT_STORED, "Retry-After": "1"}
        return json_response(Readiness(status, **found), 200 if serves else 503, headers)

    def _status(self, failed: Set[str]) -> Status:
        if self.draining():
            return "draining"
        if failed & set(self.checks):
            return "unready"
        return "degraded" if failed else "ready"

    @operation(
        Operation(
            "getMetrics",
            "Prometheus metrics",
            "operation",
            credential="metrics",
            answer=str,
            content_type="text/plain",
            errors=(401, 403),
        )
    )
    async def scrape(self, request: web.Request) -> web.Response:
        await self.auth.metrics(request)
        return web.Response(body=self.metrics.scrape(), headers={"Content-Type": CONTENT_TYPE})

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/healthz", self.healthz), web.get("/readyz", self.readyz), web.get("/metrics", self.scrape)]


async def _state(check: Check) -> State:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever it was, this part does not answer
        _logger.warning("not ready", reason=str(error))
        return "failed"
    return "ok"
