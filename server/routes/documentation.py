"""GET /docs: the documentation for people: the reference, which the page makes of the descriptions, and the guides."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from aiohttp import web

from server.description.guides import SLUGS, Guide, GuideEntry, contents, guide, with_address
from server.description.openapi import openapi
from server.http.operations import Operation, described, operation
from server.http.public_address import PublicAddress
from server.http.web_answers import ASK_AGAIN, file_response, found_file, page_headers
from server.http.web_files import FOLDER, WebFile, WebFiles

_FOLDERS: Final = {"docs": FOLDER / "docs"}
_HEADERS: Final = page_headers({})
MOST_RENDERED: Final = 64
"""How many rendered guides are kept, each for one address."""
_TEMPLATES: Final = ("docs/index.html", "docs/guide.html")


def _described(content_type: str) -> Operation:
    return Operation("", "", "description", credential="none", content_type=content_type, listed=False)


class DocumentationResource:
    """The reference, the guides, their files, and what a search finds."""

    def __init__(self, address: PublicAddress) -> None:
        """Read the files. ``address``: what the guides name. Raises OSError if a file is missing."""
        self._address = address
        self._files = WebFiles(_FOLDERS)
        page = found_file(self._files.get("docs/index.html")).body.decode()
        self._page = WebFile.of(page.replace("{guides}", contents()).encode(), ".html")
        self._guide = found_file(self._files.get("docs/guide.html")).body.decode()
        self._guides: dict[tuple[str, str], WebFile] = {}
        self._search: WebFile | None = None

    @operation(_described("text/html"))
    async def show(self, request: web.Request) -> web.StreamResponse:
        return file_response(request, self._page, _HEADERS, ASK_AGAIN)

    @operation(_described("text/html"))
    async def show_guide(self, request: web.Request) -> web.StreamResponse:
        slug = request.match_info["slug"]
        if slug not in SLUGS:
            raise web.HTTPNotFound
        key = slug, str(self._address.of(request))
        page = self._guides.get(key)
        if page is None:
            page = await asyncio.to_thread(self._rendered, *key)
            if len(self._guides) >= MOST_RENDERED:  # a client may name any host
                self._guides.clear()
            self._guides[key] = page
        return file_response(request, page, _HEADERS, ASK_AGAIN)

    @operation(_described("application/json"))
    async def search(self, request: web.Request) -> web.StreamResponse:
        if self._search is None:
            routes = list(request.app.router.routes())
            self._search = await asyncio.to_thread(lambda: _index(openapi(routes)))
        return file_response(request, self._search, _HEADERS, ASK_AGAIN)

    async def file(self, request: web.Request) -> web.StreamResponse:
        return file_response(request, found_file(self._files.get(request.path.removeprefix("/"))), _HEADERS, ASK_AGAIN)

    def _rendered(self, slug: str, address: str) -> WebFile:
        made: Guide = guide(slug)
        page = self._guide.replace("{guides}", contents(slug)).replace("{title}", made.title)
        return WebFile.of(page.replace("{article}", with_address(made.html, address)).encode(), ".html")

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        names = [name for name in self._files if name not in _TEMPLATES]
        types = {name: found_file(self._files.get(name)).content_type for name in names}
        return [
            web.get("/docs", self.show),
            web.get("/docs/guides/{slug}", self.show_guide),
            web.get("/docs/search.json", self.search),
            *(web.get(f"/{name}", described(_described(kind), self.file)) for name, kind in types.items()),
        ]


def _index(http: dict[str, Any]) -> WebFile:
    """Return what a search finds: the operations, and the sections of the guides."""
    operations = [
        GuideEntry(
            f"{method.upper()} {path}",
            "Reference",
            f"/docs#{each['operationId']}",
            f"{each['description']} {' '.join(one['name'] for one in each['parameters'])}",
        )
        for path, methods in http["paths"].items()
        for method, each in methods.items()
    ]
    sections = [section for slug in SLUGS for section in guide(slug).sections]
    return WebFile.of(msgspec.json.encode([*operations, *sections]), ".json")
