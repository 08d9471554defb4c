"""A short way in for the few routes that nearly all requests take: a framework's layers cost more than they do there.

The routes stay the application's own as well: whatever is not exactly one of them (another method, another spelling)
goes on to it, and is answered there.
"""

from collections.abc import Iterable
from http import HTTPStatus

from fastapi import FastAPI
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from backbone import limits, problem, requests


class Doors:
    """ASGI application in front of `app`: the same limits, metrics, traces and problems, and nothing else."""

    def __init__(self, app: FastAPI, routes: Iterable[Route], *, limit: int) -> None:
        self._app = app
        self._plain = {
            (method, one.path): one for one in routes if not one.param_convertors for method in _methods(one)
        }
        self._named = [one for one in routes if one.param_convertors]
        self._watched: ASGIApp = requests.Requests(limits.BodyLimit(self._answer, limit=limit))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] == "http" and self._finds(scope):
            await self._watched(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _finds(self, scope: Scope) -> bool:
        route = self._plain.get((scope["method"], scope["path"]))
        if route is None:
            found = (one for one in self._named if scope["method"] in _methods(one))
            route = next((one for one in found if self._matches(one, scope)), None)
            if route is None:
                return False
        scope["app"], scope["route"] = self._app, route
        return True

    def _matches(self, route: Route, scope: Scope) -> bool:
        match = route.path_regex.match(scope["path"])
        if match is None:
            return False
        converters = route.param_convertors
        scope["path_params"] = {name: converters[name].convert(text) for name, text in match.groupdict().items()}
        return True

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await scope["route"].endpoint(Request(scope, receive))
        except Exception as error:
            refusal = problem.of(error, scope["method"])
            await refusal.response()(scope, receive, send)
            if refusal.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                raise  # To the log, as the application does.
            return
        await response(scope, receive, send)


def _methods(route: Route) -> Iterable[str]:
    return route.methods or ()
