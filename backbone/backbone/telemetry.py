"""What can be seen from outside: JSON logs, Prometheus metrics, and a trace that follows a lead across services."""

import asyncio
import logging
import os
import re
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from uuid import UUID

import structlog
from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram

LAG: Final = Gauge("handoff_consumer_lag_records", "Records that wait in Kafka, by partition", ["topic", "partition"])
CONSUMED: Final = Counter("handoff_events_consumed_total", "Events whose effects are committed", ["topic", "type"])
DROPPED: Final = Counter("handoff_events_dropped_total", "Events not applied, by why: duplicate, unknown", ["why"])
PARKED: Final = Counter("handoff_events_parked_total", "Records set aside, by the class of their fault", ["reason"])
BATCH: Final = Histogram("handoff_batch_seconds", "From the start of a batch's transaction to its commit", ["topics"])
PUBLISHED: Final = Counter("handoff_events_published_total", "Records that the broker acknowledged", ["topic"])
RELAY_FAULTS: Final = Counter("handoff_relay_faults_total", "Sends that failed and are tried again", ["reason"])
OUTBOX: Final = Gauge("handoff_outbox_records", "Events that waited for the broker at the last look, at most 500")
REQUESTS: Final = Histogram(
    "handoff_request_seconds", "From an HTTP request to the beginning of its answer", ["method", "route", "status"]
)
HALTED: Final = Gauge("handoff_consumer_halted", "1 while a person has to look at what was parked", ["group"])
STUCK: Final = Gauge(
    "handoff_consumer_stuck_partitions", "Partitions whose stored offset is outside the log", ["group"]
)

# Of what each batch counts, the metric of its labels: to look it up costs more than to count.
consumed: Final = lru_cache(CONSUMED.labels)
batch: Final = lru_cache(BATCH.labels)
published: Final = lru_cache(PUBLISHED.labels)

SPAN_TIMEOUT_S: Final = 2
"""A collector that is away must not hold up the end of a process."""
OURS_ALONE: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI's own telemetry would tell everything a second time, and the texts of exceptions besides."""
FRAMES: Final = 12
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_traces: ContextVar[Mapping[UUID, str]] = ContextVar("traces")
_request: ContextVar[str] = ContextVar("request")
_propagator: Final = TraceContextTextMapPropagator()
_tracer: Final = trace.get_tracer("handoff")
_spans_wanted = False


class _OncePerSecond(logging.Filter):
    """aiokafka writes hundreds of lines a second while a broker is away; one a second says as much."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("aiokafka"):
            return True
        # By place, not by words: those name nodes and partitions.
        now, place = time.monotonic(), (record.name, record.lineno)
        if now - self._last.get(place, -1.0) < 1.0:
            return False
        self._last[place] = now
        return True


def without_values(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Say of an exception what it is and where it rose. Its text and its variables may be a lead's, and stay out."""
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["exception"] = describe(error)
    return event


def describe(error: BaseException) -> dict[str, Any]:
    """Return the class of an exception and where it rose, also of what caused it; nothing of what its text carries."""
    said: dict[str, Any] = {"type": type(error).__name__, "where": where(error, FRAMES)}
    if isinstance(error, OSError):
        said["reason"] = os.strerror(error.errno) if error.errno else ""
    if isinstance(error, BaseExceptionGroup):
        said["within"] = [describe(one) for one in error.exceptions]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        said["because"] = describe(cause)
    return said


def where(error: BaseException, frames: int) -> list[str]:
    """Return the innermost places that an exception came through: file, line, function."""
    stack = traceback.extract_tb(error.__traceback__)[-frames:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in stack]


def _log_the_end(kind: type[BaseException], error: BaseException, trace_: TracebackType | None) -> None:
    structlog.get_logger().critical("the process ends", exc_info=(kind, error, trace_))


def log_loop_fault(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Log what an event loop reports of a task that nobody awaited; its own words would quote the exception."""
    error = context.get("exception")
    words = "a task failed unseen" if error is not None else str(context["message"])
    structlog.get_logger().error(words, exc_info=error)


def configure_logs(service: str, level: str) -> None:
    """Write one JSON object a line to standard output, from structlog and the standard library alike."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                without_values,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # At the handler: a filter of a logger does not see what its children say.
    handler.addFilter(_OncePerSecond())
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    sys.excepthook = _log_the_end


def configure_traces(service: str, endpoint: str) -> None:
    """Send spans to a collector; without an address traces are only handed on."""
    if not endpoint:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=SPAN_TIMEOUT_S)
    global _spans_wanted
    _spans_wanted = True
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


@contextmanager
def following(incoming: Iterable[tuple[UUID, str, str]]) -> Iterator[None]:
    """While a batch of (subject, what happens, traceparent) is handled, let its effects belong to its traces."""
    spans: list[trace.Span] = []
    traces: dict[UUID, str] = {}
    for subject, name, traceparent in incoming:
        if not _spans_wanted:
            traces[subject] = traceparent
            continue
        span = _tracer.start_span(name, context=_propagator.extract({"traceparent": traceparent}))
        spans.append(span)
        traces[subject] = _traceparent(span) or traceparent
    token = _traces.set(traces)
    try:
        yield
    finally:
        _traces.reset(token)
        for span in spans:
            span.end()


@contextmanager
def request(method: str, traceparent: str) -> Iterator[Callable[[str, int], None]]:
    """While an HTTP request is handled, let its effects belong to the caller's trace, or to a new one.

    Yields what is to be told the route and the status at the end.
    """
    known = traceparent if _TRACEPARENT.fullmatch(traceparent) else ""
    if not _spans_wanted:
        token = _request.set(known or _new_trace())
        try:
            yield lambda _route, _status: None
        finally:
            _request.reset(token)
        return
    context = _propagator.extract({"traceparent": known}) if known else None
    with _tracer.start_as_current_span(
        method, context=context, kind=trace.SpanKind.SERVER, record_exception=False, set_status_on_exception=False
    ) as span:
        token = _request.set(_traceparent(span) or known or _new_trace())

        def seen(route: str, status: int) -> None:
            span.update_name(f"{method} {route}")
            span.set_attributes(
                {"http.request.method": method, "http.route": route, "http.response.status_code": status}
            )

        try:
            yield seen
        finally:
            _request.reset(token)


def request_trace() -> str:
    """Return the traceparent of the request being handled, for effects that another task commits; empty without one."""
    return _request.get("")


def current_trace(subject: UUID) -> str:
    """Return the traceparent for an event about `subject`: of the event or request that caused it, else a new one."""
    return _traces.get({}).get(subject) or _request.get("") or _traceparent(trace.get_current_span()) or _new_trace()


def _new_trace() -> str:
    drawn = secrets.token_hex(24)
    return f"00-{drawn[:32]}-{drawn[32:]}-01"


def _traceparent(span: trace.Span) -> str | None:
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
