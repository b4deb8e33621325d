"""GET /healthz, /readyz, /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog
from aiohttp import web

from server.auth.contract import Authenticator
from server.http.operations import Operation, operation
from server.http.responses import json_response
from server.runtime.telemetry import CONTENT_TYPE, Metrics

CHECK_SECONDS = 2.0
"""A part that does not answer in this time counts as failed."""

_NOT_STORED = {"Cache-Control": "no-store"}
_logger = structlog.get_logger("health")

Check = Callable[[], Awaitable[None]]
"""Raises an exception if its part does not answer."""


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

    @operation(
        Operation("checkHealth", "Check that the process runs", "operation", credential="none", answer=dict[str, str])
    )
    async def healthz(self, _: web.Request) -> web.Response:
        return json_response({"status": "ok"}, headers=_NOT_STORED)

    @operation(
        Operation(
            "checkReadiness",
            "Storage and bus answer, activities can be stored, and the node is not draining",
            "operation",
            credential="none",
            answer=dict[str, str],
            errors=(503,),
        )
    )
    async def readyz(self, _: web.Request) -> web.Response:
        wanted = {**self.checks, **self.conveniences}
        states = await asyncio.gather(*(_state(check) for check in wanted.values()))
        found = dict(zip(wanted, states, strict=True))
        failed = {name for name, state in found.items() if state == "failed"}
        status = (
            "draining"
            if self.draining()
            else "unready"
            if failed & set(self.checks)
            else "degraded"
            if failed
            else "ready"
        )
        serves = status in ("ready", "degraded")
        headers = _NOT_STORED if serves else {**_NOT_STORED, "Retry-After": "1"}
        return json_response({"status": status, **found}, 200 if serves else 503, headers)

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


async def _state(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever it was, this part does not answer
        _logger.warning("not ready", reason=str(error))
        return "failed"
    return "ok"
