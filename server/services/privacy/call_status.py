"""Has Twilio tell of the end of a call, also of one whose caller hangs up where no TwiML would say so.

A number's own status callback is for its operator to set; this one is set on the call itself, while it goes on.
https://www.twilio.com/docs/voice/api/call-resource#update-a-call-resource
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

import aiohttp
import structlog

from server.runtime.tasks import Tasks
from server.twilio.api import TwilioApi, TwilioError

MAX_UNDER_WAY: Final = 32
"""Requests to Twilio at once: beyond it a call goes without. The account's other requests have 100 connections with
them."""

_logger = structlog.get_logger("call status")


class CallStatus:
    """Asks for status callbacks in the background; nobody waits for Twilio, and a request that fails is not repeated.

    ``api`` None: no account is configured, and nothing is asked for. ``url`` is where Twilio then reports.
    """

    def __init__(self, api: TwilioApi | None, url: str | None) -> None:
        self._api = api
        self._url = url
        self._tasks = Tasks()

    def report(self, call_sid: str, code: str) -> None:
        """Have the end of this call reported, for the service code that its caller has dialled."""
        if self._api is None or self._url is None:
            return
        if len(self._tasks) >= MAX_UNDER_WAY:
            _logger.warning("the end of a call will not be reported: Twilio does not answer", call_sid=call_sid)
            return
        url = f"{self._url}?{urlencode({'code': code})}"
        self._tasks.start("status callback", self._set(self._api, call_sid, url))

    async def close(self) -> None:
        """Leave off what is under way."""
        await self._tasks.cancel()

    async def _set(self, api: TwilioApi, call_sid: str, url: str) -> None:
        try:
            await api.post(f"Calls/{call_sid}.json", {"StatusCallback": url, "StatusCallbackMethod": "POST"})
        except (TwilioError, aiohttp.ClientError, TimeoutError, OSError) as error:
            _logger.warning("the end of a call will not be reported", call_sid=call_sid, reason=str(error))
