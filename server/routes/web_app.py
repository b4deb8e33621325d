"""GET /: the web app, with its own files below /app, and those it shares below /client/js and /vendor.

The app has no rights of its own: a person signs in. It uses the same routes as every other client. Its service worker
is made here: it names every file of the release with its digest.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from aiohttp import web

from server.auth.openid import OpenidProvider, origin_of
from server.http.operations import Operation, described, operation
from server.http.web_answers import ASK_AGAIN, file_response, found_file, page_headers
from server.http.web_files import FOLDER, ROOT, ServedFiles, WebFile, WebFiles

FOLDERS: Final = {"app": FOLDER / "app", "vendor": FOLDER / "vendor", "client/js": ROOT / "client" / "js" / "src"}
_DIRECTIVES: Final = {
    "img-src": "'self' blob: data:",
    "media-src": "'self' blob:",
    "font-src": "'self'",
    "manifest-src": "'self'",
    "worker-src": "'self'",
    # The address of the service worker is the one script that a script of the app names to the browser.
    "trusted-types": "buzz-worker",
}


_WORKER: Final = "app/worker.js"
_WITHOUT: Final = (_WORKER, "client/js/node.js", "vendor/uplot/")
"""What the app does not load, so that a browser need not keep it."""
_REMOVED: Final = WebFile.of(
    b"""// The app is turned off on this server: what the browser keeps of it is removed.
self.addEventListener("install", () => self.skipWaiting())
self.addEventListener("activate", (event) => event.waitUntil(remove()))
async function remove() {
  const names = await caches.keys()
  await Promise.all(names.filter((name) => name.startsWith("buzz-app-")).map((name) => caches.delete(name)))
  await self.registration.unregister()
}
""",
    ".js",
)


def _described(content_type: str) -> Operation:
    return Operation("", "", "app", credential="none", content_type=content_type, listed=False)


class WebAppResource:
    """The app's page and its files."""

    def __init__(self, openid: OpenidProvider | None, *, development: bool) -> None:
        """Read the files. ``development``: a file that changes is served as it is then. Raises OSError.

        ``openid``: the provider that the app may ask for tokens.
        """
        self._openid = openid
        self._development = development
        self._files = ServedFiles(FOLDERS, follow=development)

    @operation(_described("text/html"))
    async def show(self, request: web.Request) -> web.StreamResponse:
        page = found_file(await self._files.get("app/index.html"))
        return file_response(request, page, self._headers(), ASK_AGAIN)

    @operation(_described("text/javascript"))
    async def worker(self, request: web.Request) -> web.StreamResponse:
        headers = self._headers()
        made = _worker(await self._files.current(), headers["Content-Security-Policy"], network_first=self._development)
        return file_response(request, made, {**headers, "Service-Worker-Allowed": "/"}, ASK_AGAIN)

    async def file(self, request: web.Request) -> web.StreamResponse:
        found = found_file(await self._files.get(request.path.removeprefix("/")))
        return file_response(request, found, self._headers(), ASK_AGAIN)

    def _headers(self) -> dict[str, str]:
        document = self._openid.document if self._openid is not None else None
        provider = {} if document is None else {"connect-src": f"'self' {origin_of(document.token_endpoint)}"}
        return page_headers({**_DIRECTIVES, **provider})

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        file = described(_described("text/javascript"), self.file)
        worker = web.get(f"/{_WORKER}", self.worker)
        return [web.get("/", self.show), worker, *(web.get(f"/{prefix}/{{path:.+}}", file) for prefix in FOLDERS)]


class RemovedAppResource:
    """What is left of the app when it is turned off: a service worker that removes what browsers keep of it."""

    @operation(_described("text/javascript"))
    async def worker(self, request: web.Request) -> web.StreamResponse:
        return file_response(request, _REMOVED, {**page_headers({}), "Service-Worker-Allowed": "/"}, ASK_AGAIN)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get(f"/{_WORKER}", self.worker)]


def _worker(files: WebFiles, policy: str, *, network_first: bool) -> WebFile:
    """Return the service worker of this release.

    The version covers the page's policy too, which browsers keep with the page.
    """
    digests = {f"/{name}": found_file(files.get(name)).tag for name in files if _is_kept(name)}
    digests = {"/": digests.pop("/app/index.html"), **digests}
    version = hashlib.sha256(msgspec.json.encode((digests, policy))).hexdigest()[:16]
    release = msgspec.json.encode({"version": version, "networkFirst": network_first, "files": digests})
    return WebFile.of(found_file(files.get(_WORKER)).body.replace(b'"{release}"', release), ".js")


def _is_kept(name: str) -> bool:
    """Return whether the app loads this file: no licences, and nothing of other pages."""
    return not name.startswith(_WITHOUT) and "." in name.rpartition("/")[2] and not name.endswith(".txt")
