"""One TLS context shared by all clients, because loading the certificates takes 50 ms."""

import ssl
from functools import cache

import httpx


@cache
def ssl_context() -> ssl.SSLContext:
    """Return the context, created on the first call."""
    return httpx.create_ssl_context()
