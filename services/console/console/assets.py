"""Static files from memory: addresses that change with the content, kept for a year; ETag, and gzip made once."""

import gzip
import hashlib
import json
import mimetypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOLDER: Final = Path(__file__).parent / "static"
PREFIX: Final = "/static/"
FOR_EVER: Final = "public, max-age=31536000, immutable"
"""Of an address that names the content's version; any other is asked about each time."""
PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none';"
    " base-uri 'none'; form-action 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
FOR_A_DAY: Final = "public, max-age=86400"
"""Of fonts, which stylesheets name without a version."""
_PACKED: Final = (".css", ".js", ".svg", ".json")


class NotBuilt(RuntimeError):
    """The front-end files of npm are missing."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content: bytes
    packed: bytes | None
    media_type: str
    version: str


@lru_cache(maxsize=1)
def load() -> dict[str, Asset]:
    """Read every file. Raises NotBuilt where the front-end files were not fetched."""
    if not (FOLDER / "vendor" / "icons.json").exists():
        raise NotBuilt(
            "The console's front-end files are missing: run `make install`, or services/console/build_assets.py"
        )
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            packed = gzip.compress(content, 9, mtime=0) if path.suffix in _PACKED else None
            media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            version = hashlib.sha256(content).hexdigest()[:12]
            found[path.relative_to(FOLDER).as_posix()] = Asset(content, packed, media_type, version)
    return found


def url(name: str) -> str:
    """Return the address of a file, with its version."""
    return f"{PREFIX}{name}?v={load()[name].version}"


@lru_cache(maxsize=1)
def icons() -> dict[str, str]:
    """Return what is drawn in each icon."""
    drawn: dict[str, str] = json.loads(load()["vendor/icons.json"].content)
    return drawn


def install(app: FastAPI) -> None:
    """Serve the files, pack pages, and tell browsers that nothing comes from elsewhere."""
    app.mount(PREFIX.rstrip("/"), serve, name="static")
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)
    app.add_middleware(Guarded)


class Guarded:
    """Adds to every page what it may load and who may frame it; the API's own documentation is left alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with headers on HTML."""
        if scope["type"] != "http" or scope["path"] in ("/docs", "/docs/oauth2-redirect"):
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.update(PAGE_HEADERS)
            await send(message)

        await self._app(scope, receive, guarded)


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request for a file: an ASGI application to be mounted."""
    request = Request(scope)
    await _answer(scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/"), request)(scope, receive, send)


def _answer(name: str, request: Request) -> Response:
    asset = load().get(name.removeprefix("static/"))
    if asset is None or request.method not in ("GET", "HEAD"):
        return Response(status_code=404 if asset is None else 405)
    named = request.query_params.get("v") == asset.version
    headers = {
        "ETag": f'"{asset.version}"',
        "Cache-Control": FOR_EVER if named else FOR_A_DAY if name.endswith(".woff2") else "no-cache",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if asset.version in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    packed = asset.packed if _takes_gzip(request.headers) else None
    if packed is not None:
        headers["Content-Encoding"] = "gzip"
    return Response(packed or asset.content, media_type=asset.media_type, headers=headers)


def _takes_gzip(headers: Headers) -> bool:
    return "gzip" in headers.get("accept-encoding", "")
