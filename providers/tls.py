"""One TLS context for all clients: loading the certificates takes 50 ms each time."""

import ssl
from functools import cache

import httpx


@cache
def ssl_context() -> ssl.SSLContext:
    """The context, made at the first call."""
    return httpx.create_ssl_context()
