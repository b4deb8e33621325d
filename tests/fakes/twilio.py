"""A local server that stands in for Twilio's REST API, and sends Twilio's signed requests of a call."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

ACCOUNT = "AC" + "0" * 32
TOKEN = "12345"
MP3 = b"\xff\xfb\x90\x64" + bytes(range(256)) * 40


class Twilio:
    """Recordings and numbers of one account.

    ``recordings``: SID to bytes, to a status to answer with, or to an address to redirect to. ``for_sale``: numbers
    offered, in order; ``sold``: the orders that succeeded. ``answers``: statuses, or (status, code), for the next
    purchases, ``delete_answers`` for the next deletions; ``lose``: how many purchases succeed while their answers are
    lost. ``calls``: the changes of each call; ``calls_answer``: the status of their answers, which ``calls_hang``
    prevents.
    """

    def __init__(self) -> None:
        self.recordings: dict[str, bytes | int | str] = {}
        self.calls: dict[str, dict[str, str]] = {}
        self.calls_answer = 200
        self.calls_hang = False
        self.transcriptions: set[str] = set()
        self.delete_answers: list[int] = []
        self.for_sale: list[str] = []
        self.sold: list[dict[str, str]] = []
        self.answers: list[tuple[int, int]] = []
        self.lose = 0
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        application = web.Application()
        base = f"/2010-04-01/Accounts/{ACCOUNT}"
        application.router.add_get(base + "/Recordings/{name}", self._recording)
        application.router.add_post(base + "/Calls/{name}", self._change_call)
        application.router.add_delete(base + "/Recordings/{name}", self._delete)
        application.router.add_delete(base + "/Transcriptions/{name}", self._delete)
        application.router.add_get(base + "/AvailablePhoneNumbers/{country}/Local.json", self._available)
        application.router.add_get(base + "/IncomingPhoneNumbers.json", self._incoming)
        application.router.add_post(base + "/IncomingPhoneNumbers.json", self._buy)
        self.server = TestServer(application)

    async def start(self) -> Twilio:
        await self.server.start_server()
        return self

    async def close(self) -> None:
        await self.server.close()

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    def _authorised(self, request: web.Request) -> None:
        self.asked.append(f"{request.method} {request.path.rpartition('/')[2]}")
        self._with_credentials(request)

    def _with_credentials(self, request: web.Request) -> None:
        expected = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {expected}":
            raise web.HTTPUnauthorized

    async def _recording(self, request: web.Request) -> web.StreamResponse:
        self._authorised(request)
        found = self.recordings.get(request.match_info["name"].removesuffix(".mp3"), 404)
        if isinstance(found, str):
            raise web.HTTPFound(found)
        if isinstance(found, int):
            return web.json_response({"code": 20404, "message": "not found"}, status=found)
        return web.Response(body=found, content_type="audio/mpeg")

    async def _change_call(self, request: web.Request) -> web.Response:
        self._with_credentials(request)
        sid = request.match_info["name"].removesuffix(".json")
        self.calls[sid] = {name: str(value) for name, value in (await request.post()).items()}
        if self.calls_hang:
            await asyncio.Event().wait()
        return web.json_response({"sid": sid, "code": 21220, "message": "not so"}, status=self.calls_answer)

    async def _delete(self, request: web.Request) -> web.Response:
        self._authorised(request)
        sid = request.match_info["name"].removesuffix(".json")
        is_there = sid in self.recordings or sid in self.transcriptions
        status = self.delete_answers.pop(0) if self.delete_answers else 204 if is_there else 404
        if status != 204:
            return web.json_response({"code": 20404, "message": "not so"}, status=status, headers=self.headers)
        self.recordings.pop(sid, None)
        self.transcriptions.discard(sid)
        return web.Response(status=204)

    async def _available(self, request: web.Request) -> web.Response:
        self._authorised(request)
        offered = [{"phone_number": number, "capabilities": {"voice": True}} for number in self.for_sale]
        return web.json_response({"available_phone_numbers": offered[: int(request.query["PageSize"])]})

    async def _incoming(self, request: web.Request) -> web.Response:
        self._authorised(request)
        name = request.query["FriendlyName"]
        return web.json_response({"incoming_phone_numbers": [one for one in self.sold if one["friendly_name"] == name]})

    async def _buy(self, request: web.Request) -> web.StreamResponse:
        self._authorised(request)
        form = await request.post()
        status, code = self.answers.pop(0) if self.answers else (201, 0)
        if status != 201:
            return web.json_response({"code": code, "message": "refused"}, status=status, headers=self.headers)
        number = str(form["PhoneNumber"])
        self.for_sale.remove(number)
        bought = {
            "sid": f"PN{len(self.sold):032}",
            "phone_number": number,
            "friendly_name": str(form["FriendlyName"]),
            "voice_url": str(form["VoiceUrl"]),
            "voice_fallback_url": str(form["VoiceFallbackUrl"]),
            "voice_fallback_method": str(form["VoiceFallbackMethod"]),
        }
        self.sold.append(bought)
        if self.lose:
            self.lose -= 1
            await asyncio.Event().wait()
        return web.json_response(bought, status=201)


def call(sid: str = "CA" + "1" * 32, **more: str) -> Mapping[str, str]:
    """Return the fields of a call in every request of Twilio's."""
    return {
        "AccountSid": ACCOUNT,
        "CallSid": sid,
        "From": "+15555555555",
        "To": "+18005550100",
        "CallStatus": "in-progress",
        "Direction": "inbound",
        "CallerName": "John Smith",
        "FromState": "CA",
        **more,
    }


def attributes(document: str, verb: str) -> dict[str, Any]:
    """Return the attributes of the first such verb in a TwiML document."""
    from defusedxml.ElementTree import fromstring

    found = next(fromstring(document.encode()).iter(verb))
    return dict(found.attrib)
