"""Refusals as people read them: a page where a page was asked for, the way to the sign-in for who is not signed in."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from backbone import problem
from backbone.problem import Problem
from console import signing_in

Render = Callable[[Request, Problem], str]


def install(app: FastAPI, render: Render) -> None:
    """Put a page before every refusal that the app knows how to make."""
    for failure, known in list(app.exception_handlers.items()):
        app.add_exception_handler(failure, _for_people(known, render))


def _for_people(known: Any, render: Render) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def refuse(request: Request, error: Exception) -> Response:
        made: Response = await known(request, error)
        if not signing_in.wants_html(request) or made.media_type != problem.MEDIA_TYPE:
            return made
        if isinstance(error, signing_in.NotSignedIn) and request.method == "GET":
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(signing_in.sign_in_path(request.url.path + query), 303)
        said = msgspec.json.decode(bytes(made.body))
        passed = {name: made.headers[name] for name in ("Retry-After",) if name in made.headers}
        page = render(request, Problem(made.status_code, said["title"], said["detail"]))
        return HTMLResponse(page, made.status_code, headers={"Cache-Control": "no-store", **passed})

    return refuse
