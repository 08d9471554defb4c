"""Bodies as they come: whole, unpacked within the limit, and kept without losing a byte."""

import base64
import zlib
from typing import Any, Final

from starlette.requests import Request

from backbone import limits, process
from backbone.problem import Problem

_PLAIN: Final = ("", "identity")
_GZIP: Final = ("gzip", "x-gzip")
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


async def read(request: Request) -> bytes:
    """Read the whole body as it was sent; a sender that hangs up gets nothing and leaves nothing."""
    parts = []
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "Incomplete", "The connection ended before the body did. Send it again.")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def unpacked(request: Request, sent: bytes) -> bytes:
    """Return the body without its Content-Encoding. Problem 415 for one that is not known, 413 for too much."""
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding in _PLAIN:
        return sent
    if coding not in _GZIP:
        raise Problem(415, "Not readable", "Send the body as it is, or with Content-Encoding: gzip.")
    reader = zlib.decompressobj(_GZIP_WINDOW)
    try:
        body = reader.decompress(sent, process.MAX_BODY_BYTES + 1)
    except zlib.error:
        raise _not_gzip() from None
    if len(body) > process.MAX_BODY_BYTES:
        raise limits.too_large(process.MAX_BODY_BYTES)
    if not reader.eof:
        raise _not_gzip()
    return body


def _not_gzip() -> Problem:
    return Problem(400, "Not gzip", "The body is not what Content-Encoding says. Send it again as it is.")


def as_json(raw: bytes) -> str | dict[str, str]:
    """Return a body as a JSON value: text, or in base64 what is no UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def from_json(value: Any) -> bytes:
    """Return the body that `as_json` made a value of."""
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode()
