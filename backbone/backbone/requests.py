"""Every HTTP request as operators see it: the time until its answer, by route, and the trace that it belongs to."""

from time import monotonic
from typing import Any, Final

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backbone import telemetry

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
NO_ROUTE: Final = "none"


class Requests:
    """ASGI middleware. What is measured ends where the answer begins: a stream stays open for hours."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._paths: dict[Any, str] = {}
        self._series: dict[tuple[str, str, int], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, watching."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = monotonic()
        method = scope["method"] if scope["method"] in _METHODS else "other"
        given = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._count(method, self._route(scope), status, monotonic() - began)
            await send(message)

        with telemetry.request(method, given.decode("latin-1")) as seen:
            try:
                await self.app(scope, receive, watched)
            except Exception:
                if not status:
                    # It is answered with 500 outside of here.
                    status = 500
                    self._count(method, self._route(scope), status, monotonic() - began)
                raise
            finally:
                seen(self._route(scope), status)

    def _count(self, method: str, route: str, status: int, seconds: float) -> None:
        series = self._series.get((method, route, status))
        if series is None:
            series = self._series[method, route, status] = telemetry.REQUESTS.labels(method, route, status)
        series.observe(seconds)

    def _route(self, scope: Scope) -> str:
        """Return the route's template, never the path itself: that has ids in it, and there is no end of paths."""
        route = scope.get("route")
        if route is not None:
            return str(route.path)
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return NO_ROUTE
        if endpoint not in self._paths:
            # A plain Starlette route leaves only its endpoint behind.
            found = (one.path for one in scope["app"].routes if getattr(one, "endpoint", None) is endpoint)
            self._paths[endpoint] = next(found, NO_ROUTE)
        return self._paths[endpoint]
