"""GET /admin: the operators' page, and /web/…: the files it loads.

The page has no rights of its own: it asks for a token.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from server.http.operations import Operation, operation
from server.http.web_answers import ASK_AGAIN, FOR_EVER, file_response, found_file, page_headers
from server.http.web_files import FOLDER, WebFile, WebFiles

_FOLDERS: Final = {name: FOLDER / name for name in ("admin", "vendor/uplot")}
_HEADERS: Final = page_headers({"media-src": "blob:"})


def _described(content_type: str) -> Operation:
    return Operation("", "", "operation", credential="none", content_type=content_type, listed=False)


class AdminPageResource:
    """The page and its files."""

    def __init__(self) -> None:
        """Read the files. The page names the others below ``{root}``. Raises OSError if one is missing."""
        self._files = WebFiles(_FOLDERS)
        page = found_file(self._files.get("admin/index.html")).body
        self._page = WebFile.of(page.replace(b"{root}", f"/web/{self._files.digest}".encode()), ".html")

    @operation(_described("text/html"))
    async def show(self, request: web.Request) -> web.StreamResponse:
        return file_response(request, self._page, _HEADERS, ASK_AGAIN)

    @operation(_described("text/javascript"))
    async def file(self, request: web.Request) -> web.StreamResponse:
        found = found_file(self._files.get(request.match_info["path"]))
        # A page of another release may request it while nodes are replaced: it gets the present file, uncached.
        known = request.match_info["digest"] == self._files.digest
        return file_response(request, found, _HEADERS, FOR_EVER if known else ASK_AGAIN)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/admin", self.show), web.get("/web/{digest:[0-9a-f]{16}}/{path:.+}", self.file)]
