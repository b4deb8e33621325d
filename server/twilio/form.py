"""The form of a Twilio request whose signature was checked."""

from __future__ import annotations

from aiohttp import web

from protocol.errors import ApiError, ErrorCode
from server.http.requests import read_body
from server.twilio.requests import form_pairs


async def twilio_form(request: web.Request) -> dict[str, str]:
    """Return the form's fields by name. NUL and invalid UTF-8, which can't be stored, are removed from the values.

    Raises ApiError(bad_request) if it has too many fields.
    """
    pairs = form_pairs(await read_body(request))
    if pairs is None:
        raise ApiError(ErrorCode.BAD_REQUEST, "Invalid body: has too many fields")
    return {name: value.encode(errors="ignore").decode(errors="ignore").replace("\0", "") for name, value in pairs}
