"""What a browser is shown for a path that has no route. Programs get the same refusal in JSON as everywhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from string import Template
from typing import Final

from aiohttp import web

from server.http.web_answers import page_headers
from server.http.web_files import FOLDER

_MAX_SHOWN_CHARACTERS: Final = 100
_LINKS: Final = {"/": "Open Buzz", "/docs": "Read the documentation"}


class NotFoundPage:
    """The page: it names the path, and the pages that exist."""

    def __init__(self, *, app: bool) -> None:
        """Read the template. ``app``: whether the web app is there. Raises OSError if a file is missing."""
        folder = FOLDER / "not_found"
        style = (folder / "style.css").read_text()
        self._page = Template((folder / "page.html").read_text())
        self._style = style
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._headers = {**page_headers({"style-src": f"'sha256-{digest}'"}), "Cache-Control": "no-store"}
        links = {path: words for path, words in _LINKS.items() if app or path != "/"}
        self._links = "\n".join(f'<li><a href="{path}">{words}</a></li>' for path, words in links.items())
        self._off = "" if app else "<p>The web app is turned off on this server (BUZZ_APP).</p>"

    def answer(self, request: web.Request) -> web.Response | None:
        """Answer with the page if a browser opens the path, otherwise return None."""
        if request.method not in ("GET", "HEAD") or "text/html" not in request.headers.get("Accept", ""):
            return None
        path = request.path[:_MAX_SHOWN_CHARACTERS] + ("…" if len(request.path) > _MAX_SHOWN_CHARACTERS else "")
        off = self._off if request.path == "/" else ""
        text = self._page.substitute(path=escape(path), style=self._style, links=self._links, off=off)
        return web.Response(text=text, status=404, content_type="text/html", headers=self._headers)
