"""Traces: the spans that a collector gets over real HTTP, and what they never hold."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from server.runtime.tracing import Tracing, TracingError, open_otlp
from server.webhooks.message import WebhookMessage
from server.webhooks.sender import open_sender
from tests.harness.backend import SQLITE
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.world import open_world

sqlite = pytest.mark.backends(SQLITE)
CANARY = "canary-ciphertext-5f2b"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Collector:
    """Takes what OTLP's exporter posts."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        return web.Response()

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, str]:
        [first, *_] = ExportTraceServiceRequest.FromString(self.bodies[0]).resource_spans
        return {each.key: each.value.string_value for each in first.resource.attributes}


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    found = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", found.take)
    async with TestServer(application) as server:
        found.url = str(server.make_url("")).rstrip("/")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        yield found


def attributes(span: Span) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@sqlite
async def test_a_span_of_each_request_send_commit_and_delivery(data_dir: Path, collector: Collector) -> None:
    async with open_world(data_dir, traces="otlp") as world:
        jane, bob = await world.join(JANE), await world.join(BOB)
        await jane.post(chat(JANE, BOB, CANARY))
        await jane.post(chat(BOB, JANE, CANARY))  # refused
        await bob.until_ids(1)
        http = world.http(JANE)
        await http.get("/apps/buzz/activity/0?party=person:7", headers={"traceparent": PARENT})
        await http("POST", "/apps/buzz/activity", json=chat(JANE, BOB, CANARY))
    spans = collector.spans
    by_name: dict[str, list[Span]] = {}
    for span in spans:
        by_name.setdefault(span.name, []).append(span)
    assert set(by_name) >= {"send", "commit", "deliver", "GET /apps/buzz/activity/{id}", "POST /apps/buzz/activity"}
    assert sorted(str(attributes(span)["buzz.result"]) for span in by_name["send"]) == ["forbidden", "stored", "stored"]
    assert {attributes(span)["buzz.sessions"] for span in by_name["deliver"]} == {2}
    [read] = by_name["GET /apps/buzz/activity/{id}"]
    assert attributes(read)["http.response.status_code"] == 200
    assert (read.trace_id.hex(), read.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])
    [posted] = by_name["POST /apps/buzz/activity"]
    assert posted.span_id in {span.parent_span_id for span in by_name["send"]}
    assert not any(name.endswith("/apps/buzz/socket") for name in by_name)
    assert collector.resource["service.name"] == "buzz"


@sqlite
async def test_no_span_holds_content_an_id_or_a_token(data_dir: Path, collector: Collector) -> None:
    async with open_world(data_dir, traces="otlp") as world:
        jane = await world.join(JANE)
        await jane.post(chat(JANE, BOB, CANARY))
        http = world.http(JANE)
        await http.get(f"/apps/buzz/public-key/{BOB}")
        await http.get("/apps/buzz/activity/0?party=person:7")
        await http("POST", "/apps/buzz/activity", json={**chat(JANE, BOB, CANARY), "type": CANARY})
        token = world.tokens.person(JANE)
    assert collector.spans
    known = {
        "http.request.method", "http.route", "http.response.status_code", "buzz.request_id", "buzz.result",
        "buzz.activities", "buzz.sessions",
    }  # fmt: skip
    assert {key for span in collector.spans for key in attributes(span)} <= known
    for body in collector.bodies:
        assert CANARY.encode() not in body
        assert token.encode() not in body
        assert b"person:7" not in body


@sqlite
async def test_a_collector_that_is_away_delays_nothing(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    async with open_world(data_dir, traces="otlp") as world:
        jane = await world.join(JANE)
        assert (await jane.post(chat(JANE, BOB)))["type"] == "ack"
        await jane.alive()


async def test_an_attempt_to_send_a_webhook_has_a_span() -> None:
    exported = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    application = web.Application()

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=418, text=CANARY)

    application.router.add_post("/hook", refuse)
    async with (
        TestServer(application) as server,
        open_sender(5, allow_loopback=True, span=Tracing(provider).span) as sender,
    ):
        url = str(server.make_url("/hook"))
        assert (await sender.post(WebhookMessage(url, {}, CANARY.encode()))).status == 418
    [span] = exported.get_finished_spans()
    assert (span.name, dict(span.attributes or {})) == ("webhook", {"http.response.status_code": 418})


def test_without_the_packages_the_start_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(TracingError, match=r"pip install .* requirements-traces\.lock"):
        open_otlp()
