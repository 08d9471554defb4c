"""How large a request may be: refused by its declared length, or as soon as more than that has come in."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backbone.problem import Problem


def too_large(limit: int) -> Problem:
    """Return the refusal of a body over `limit` bytes."""
    return Problem(413, "Too large", f"A body may have {limit} bytes at most. Send less at once.")


class BodyLimit:
    """ASGI middleware: 413 for a body of more than `limit` bytes, whether or not it says so beforehand."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        if declared is not None:
            if not declared.isdigit() or int(declared) > self.limit:
                await too_large(self.limit).response()(scope, receive, send)
            else:
                # The server takes no more of a body than it was declared to have.
                await self.app(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit:
                # Of this class, because FastAPI turns others that rise while it reads a body into 400.
                raise HTTPException(413)
            return message

        await self.app(scope, counted, send)
