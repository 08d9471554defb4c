"""Refusals as application/problem+json (RFC 9457): what is wrong, where, and how to mend it; never the value itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from backbone import database

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
_BAD_VALUES: Final = ("22021", "22P05", "22000", "22003", "22008", "22001", "22P02")
"""SQLSTATEs of values that PostgreSQL cannot hold: NUL characters, numbers and times out of range; 22000: unsent."""
_JSON_FAULTS: Final = ("json_invalid", "missing_body")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where in the body the fault is (a JSON pointer), or at which line and column of a document."""

    pointer: str
    detail: str
    line: int | None = None
    column: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the member of `errors`."""
        place = {"line": self.line, "column": self.column}
        return {
            # A key of the body may have half a character in it, which no answer can be written with.
            "pointer": self.pointer.encode(errors="replace").decode(),
            "detail": self.detail,
            **{name: value for name, value in place.items() if value is not None},
        }


class Problem(Exception):
    """An expected refusal. `detail` says how to mend it."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        errors: Sequence[Pointer] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def as_json(self) -> dict[str, Any]:
        """Return the body."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }
        if self.errors:
            body["errors"] = [error.as_json() for error in self.errors]
        return body

    def response(self) -> Response:
        """Return the answer."""
        return JSONResponse(self.as_json(), self.status, headers=self.headers, media_type=MEDIA_TYPE)


def unavailable(detail: str = "The service cannot store anything now. Send the same request again.") -> Problem:
    """Return a 503 that says when to come back."""
    return Problem(503, "Not available now", detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def of_validation(error: RequestValidationError) -> Problem:
    """Turn FastAPI's findings into pointers; the values found wrong are left out."""
    findings = error.errors()
    if any(finding["type"] in _JSON_FAULTS for finding in findings):
        return Problem(400, "Malformed JSON", "The body has to be one JSON document in UTF-8.")
    pointers = [_pointer(finding) for finding in findings]
    return Problem(
        422, "Not valid", "Correct the fields that `errors` points at and send the request again.", errors=pointers
    )


def _pointer(finding: Mapping[str, Any]) -> Pointer:
    where, *path = finding["loc"]
    place = ("" if where == "body" else where) + "/" + "/".join(str(part) for part in path)
    if finding["type"] == "extra_forbidden":
        return Pointer(place, "unknown field")
    if finding["type"] in ("value_error", "assertion_error"):
        return Pointer(place, str(finding["msg"]).partition(", ")[2] or "not valid")
    return Pointer(place, str(finding["msg"]))


def of_failure(error: Exception) -> Problem:
    """Turn a failure that nobody expected into an answer that gives nothing away."""
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate in _BAD_VALUES:
        return Problem(422, "Not valid", "A text, a number or a cursor is not of the kind that belongs here.")
    if database.is_transient(error):
        return unavailable()
    return Problem(500, "Our fault", "The request was not carried out. Send it again; if it fails again, tell us when.")


def of(error: Exception, method: str) -> Problem:
    """Turn whatever a request ended with into the problem that its caller is told."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return of_validation(error)
    if isinstance(error, HTTPException):
        title = HTTPStatus(error.status_code).phrase
        return Problem(error.status_code, title, _MENDING.get(error.status_code, title), headers=error.headers)
    refusal = of_failure(error)
    if refusal.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("a request failed", method=method, error=type(error).__name__)
    return refusal


def install(app: FastAPI) -> None:
    """Render every refusal and failure of `app` as a problem."""

    async def answer(request: Request, error: Exception) -> Response:
        return of(error, request.method).response()

    refusals = (Problem, RequestValidationError, HTTPException)
    for kind in (*refusals, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, Exception):
        app.add_exception_handler(kind, answer)


_MENDING: Final = {
    400: "The body has to be one JSON document in UTF-8.",
    404: "Nothing is at this address. The addresses are listed at /docs.",
    405: "This address does not take this method. The methods are listed at /docs.",
    413: "The body is larger than this address takes. Send less at once.",
}
