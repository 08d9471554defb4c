"""Clients of other services, and of endpoints outside."""

import ssl
from functools import cache
from typing import Any

import httpx


def client(**settings: Any) -> httpx.AsyncClient:
    """Return a client with these settings of httpx's; whom it trusts is read once for all clients of the process.

    Reading the machine's certificates takes 50 ms, and each client of httpx's own making would do it again.
    """
    return httpx.AsyncClient(verify=_trusted(), **settings)


@cache
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context()
