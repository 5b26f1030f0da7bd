"""The chat page: static files, without a build step and without external resources."""

from pathlib import Path

from aiohttp import web

STATIC = Path(__file__).parent / "static"
_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self'; frame-ancestors 'self'"
)


def add_routes(router: web.UrlDispatcher, prefix: str, title: str) -> None:
    """Serve the page at ``{prefix}/`` and ``{prefix}/chat``, and its files under ``{prefix}/static/``.

    Args:
        router: The router of the application that serves the sandbox.
        prefix: A path without a slash at the end, or an empty string.
        title: The title of the page.
    """
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    html = html.replace("{{prefix}}", prefix).replace("{{title}}", title)

    async def page(_request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"}
        return web.Response(text=html, content_type="text/html", headers=headers)

    async def redirect(_request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{prefix}/")

    async def static_file(request: web.Request) -> web.StreamResponse:
        path = STATIC / request.match_info["name"]
        if not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Cache-Control": "no-cache"})

    router.add_get(f"{prefix}/", page)
    router.add_get(f"{prefix}/chat", page)
    router.add_get(prefix + r"/static/{name:[\w.\-]+}", static_file)
    if prefix:
        router.add_get(prefix, redirect)
