"""GET /admin: the operators' page, and /web/…: the files it loads.

The page has no rights of its own: it asks for a token.
"""

from __future__ import annotations

import hashlib
from typing import Final

from aiohttp import web

from protocol.errors import ApiError, ErrorCode
from server.http.compression import Coding, chosen
from server.http.operations import Operation, operation
from server.http.web_files import WebFile, WebFiles

_INDEX: Final = "admin/index.html"
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "media-src blob:",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_ASK_AGAIN: Final = "no-cache"
_FOR_EVER: Final = "public, max-age=31536000, immutable"


def _described(content_type: str) -> Operation:
    return Operation("", "", "operation", credential="none", content_type=content_type, listed=False)


class AdminPageResource:
    """The page and its files."""

    def __init__(self, files: WebFiles) -> None:
        """``files`` must have ``admin/index.html``, which names the others below ``{root}``."""
        self._files = files
        self._page = _found(files, _INDEX).body.replace(b"{root}", f"/web/{files.digest}".encode())
        self._tag = f'"{hashlib.sha256(self._page).hexdigest()[:16]}"'

    @operation(_described("text/html"))
    async def show(self, request: web.Request) -> web.StreamResponse:
        headers = {**_HEADERS, "Cache-Control": _ASK_AGAIN, "ETag": self._tag}
        if any(f'"{each.value}"' == self._tag for each in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self._page, content_type="text/html", charset="utf-8", headers=headers)

    @operation(_described("text/javascript"))
    async def file(self, request: web.Request) -> web.StreamResponse:
        found = _found(self._files, request.match_info["path"])
        # A page of another release may request it while nodes are replaced: it gets the present file, uncached.
        known = request.match_info["digest"] == self._files.digest
        return _response(request, found, _FOR_EVER if known else _ASK_AGAIN)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/admin", self.show), web.get("/web/{digest:[0-9a-f]{16}}/{path:.+}", self.file)]


def _found(files: WebFiles, name: str) -> WebFile:
    found = files.get(name)
    if found is None:
        raise ApiError(ErrorCode.NOT_FOUND, "Not Found: there is no such file.")
    return found


def _response(request: web.Request, file: WebFile, cache_control: str) -> web.Response:
    headers = {**_HEADERS, "Cache-Control": cache_control}
    compressed = chosen(request.headers.get("Accept-Encoding", ""), (Coding.GZIP,)) is not None
    if compressed:
        headers["Content-Encoding"] = "gzip"
    return web.Response(
        body=file.gzipped if compressed else file.body,
        content_type=file.content_type,
        charset="utf-8",
        headers=headers,
    )
