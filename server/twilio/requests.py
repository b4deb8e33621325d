"""Checks Twilio's signature on an aiohttp request: the body is read once and kept, the URL used as received."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from protocol.twilio_signature import SIGNATURE_HEADER, is_genuine, public_url
from server.http.requests import read_body

MAX_FORM_FIELDS: Final = 200
_FORM: Final = "application/x-www-form-urlencoded"


class TwilioRequests:
    """Checks whether a request was made by the Twilio account whose auth token this server has."""

    def __init__(self, auth_token: str | None, base_url: str | None) -> None:
        """``base_url`` is BUZZ_PUBLIC_URL; without it (development) the request's Host is used."""
        self._auth_token = auth_token
        self._base_url = base_url

    async def is_genuine(self, request: web.Request) -> bool:
        """Check the signature. A request without one is refused before its body is read.

        Raises ApiError(too_large). The body stays readable: ``server.http.requests.read_body`` returns it again.
        """
        signature = request.headers.get(SIGNATURE_HEADER)
        if not self._auth_token or not signature or not request.raw_path.startswith("/"):
            return False
        url = public_url(self._base_url or f"{request.scheme}://{request.host}", request.raw_path)
        body = await read_body(request)
        if request.content_type != _FORM:
            return is_genuine(self._auth_token, signature, url, body=body)
        form = form_pairs(body)
        return form is not None and is_genuine(self._auth_token, signature, url, form=form)


def form_pairs(body: bytes) -> list[tuple[str, str]] | None:
    """Return the decoded pairs of an urlencoded body, blank values kept; None if it has too many fields."""
    text = body.decode("utf-8", "surrogateescape")
    try:
        return parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        return None
