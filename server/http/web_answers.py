"""Answers with files for browsers, and the headers that keep a page to its own host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from protocol.errors import ApiError, ErrorCode
from server.http.compression import Coding, chosen
from server.http.web_files import WebFile

ASK_AGAIN: Final = "no-cache"
FOR_EVER: Final = "public, max-age=31536000, immutable"
"""Only for an address with a digest of the content in it."""
_POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
_HEADERS: Final = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def page_headers(directives: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a page and its files. ``directives``: added to its policy, or instead of the usual ones."""
    policy = {**_POLICY, **directives}
    return {"Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()), **_HEADERS}


def found_file(found: WebFile | None) -> WebFile:
    """Return the file. Raises ApiError if there is none."""
    if found is None:
        raise ApiError(ErrorCode.NOT_FOUND, "Not Found: there is no such file.")
    return found


def file_response(request: web.Request, file: WebFile, headers: Mapping[str, str], cache_control: str) -> web.Response:
    """Answer with a file, compressed if the client accepts that, or with 304 if it has the same one."""
    # A weak tag, because it is the same for the plain and the compressed bytes.
    given = {**headers, "Cache-Control": cache_control, "ETag": f'W/"{file.tag}"'}
    if any(each.value == file.tag for each in request.if_none_match or ()):
        return web.Response(status=304, headers=given)
    body = file.body
    if file.gzipped is not None and chosen(request.headers.get("Accept-Encoding", ""), (Coding.GZIP,)) is not None:
        body = file.gzipped
        given["Content-Encoding"] = "gzip"
    return web.Response(body=body, content_type=file.content_type, charset=file.charset, headers=given)
