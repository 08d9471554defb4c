"""What can be seen from outside: JSON logs, Prometheus metrics, and a trace that follows a lead across services."""

import logging
import secrets
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from uuid import UUID

import structlog
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
REQUESTS: Final = Histogram("handoff_request_seconds", "HTTP requests by route", ["method", "route", "status"])

DEEPEST_CAUSE: Final = 8
MOST_FRAMES: Final = 12

_traces: ContextVar[Mapping[UUID, str]] = ContextVar("traces")
_propagator: Final = TraceContextTextMapPropagator()
_tracer: Final = trace.get_tracer("handoff")
_spans_wanted = False


class _OncePerSecond(logging.Filter):
    """aiokafka writes hundreds of lines a second while a broker is away; one a second says as much."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._last.get(record.msg, -1.0) < 1.0:
            return False
        self._last[record.msg] = now
        return True


def tell_exception(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace an exception by its classes and places: texts and variables may be a person's data, or a secret."""
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    told: list[dict[str, Any]] = []
    while isinstance(error, BaseException) and len(told) < DEEPEST_CAUSE:
        frames = traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        told.append({"class": type(error).__name__, "places": places})
        if isinstance(error, OSError):
            told[-1]["reason"] = str(error)
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__
    return {**event, "exception": told} if told else event


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
                tell_exception,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in ("aiokafka", "aiokafka.conn", "aiokafka.cluster", "aiokafka.consumer.group_coordinator"):
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(name).addFilter(_OncePerSecond())
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def configure_traces(service: str, endpoint: str) -> None:
    """Send spans to a collector; without an address traces are only handed on."""
    if not endpoint:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    global _spans_wanted
    _spans_wanted = True
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
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


def current_trace(subject: UUID) -> str:
    """Return the traceparent for an event about `subject`: of the event or request that caused it, else a new one."""
    traceparent = _traces.get({}).get(subject) or _traceparent(trace.get_current_span())
    return traceparent or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def _traceparent(span: trace.Span) -> str | None:
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
