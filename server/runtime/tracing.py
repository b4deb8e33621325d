"""Traces: one span for each HTTP request, send, commit and webhook, if the operator has turned them on.

The spans hold what the metrics hold: kinds, counts, results. They never hold an id of a person, a phone number, a
token or text of a message. They are exported by OTLP over HTTP, which OpenTelemetry's own variables configure
(``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_TRACES_SAMPLER``, ``OTEL_SERVICE_NAME`` and so on).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Attribute = str | int | bool
Set = Callable[[str, Attribute], None]
"""Adds an attribute to a span that is under way."""


class TracingError(Exception):
    """Traces are turned on and cannot be made. The message says what to do."""


class SpanMaker(Protocol):
    """Begins a span that ends with the block."""

    def __call__(
        self, name: str, attributes: Mapping[str, Attribute] | None = None, parent: Mapping[str, str] | None = None, /
    ) -> AbstractContextManager[Set]: ...


def _ignore(_name: str, _value: Attribute) -> None:
    return None


_NO_SPAN: Final = nullcontext(_ignore)


def no_span(
    _name: str, _attributes: Mapping[str, Attribute] | None = None, _parent: Mapping[str, str] | None = None
) -> AbstractContextManager[Set]:
    """Begin no span: traces are off."""
    return _NO_SPAN


class Tracing:
    """The spans of one node. Off, they cost one call each."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        self.span: SpanMaker = no_span if provider is None else _maker(provider)

    @property
    def on(self) -> bool:
        """Whether spans are made."""
        return self._provider is not None

    def until_answered(self, name: str, answer: Callable[[Any], None], result: Callable[[Any], str]) -> Any:
        """Return ``answer`` with a span around it, which begins now and ends when it is called."""
        if self._provider is None:
            return answer
        span = self._provider.get_tracer("buzz").start_span(name)

        def ended(value: Any) -> None:
            span.set_attribute("buzz.result", result(value))
            span.end()
            answer(value)

        return ended

    def close(self) -> None:
        """Export what is left. It blocks for as long as the collector takes, a few seconds at most."""
        if self._provider is not None:
            self._provider.shutdown()


def open_otlp() -> Tracing:
    """Return traces that are exported by OTLP over HTTP. Raises TracingError if the packages are not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingError(
            "BUZZ_TRACES is otlp, but OpenTelemetry is not installed: "
            "pip install --require-hashes -r requirements-traces.lock"
        ) from error
    provider = TracerProvider(
        resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "buzz")}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def _maker(provider: TracerProvider) -> SpanMaker:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    tracer = provider.get_tracer("buzz")
    propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        name: str, attributes: Mapping[str, Attribute] | None = None, parent: Mapping[str, str] | None = None
    ) -> Iterator[Set]:
        context = None if parent is None else propagator.extract(parent)
        # An exception's text may hold what its request held.
        with tracer.start_as_current_span(
            name, context, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as begun:
            yield begun.set_attribute

    return span
