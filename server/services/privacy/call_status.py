"""Asks Twilio to report the end of a call, also if the caller hangs up where no TwiML would report it.

A number's own status callback belongs to its operator; this one is set on the call itself, during the call.
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
    """Asks for status callbacks in the background, without waiting for Twilio. A failed request is not repeated.

    ``api`` None: no account is configured, and nothing is done. ``url`` is where Twilio reports.
    """

    def __init__(self, api: TwilioApi | None, url: str | None) -> None:
        self._api = api
        self._url = url
        self._tasks = Tasks()

    def report(self, call_sid: str, code: str) -> None:
        """Ask for a report of this call's end, for the service code that its caller has dialled."""
        if self._api is None or self._url is None:
            return
        if len(self._tasks) >= MAX_UNDER_WAY:
            _logger.warning("the end of a call will not be reported: Twilio does not answer", call_sid=call_sid)
            return
        url = f"{self._url}?{urlencode({'code': code})}"
        self._tasks.start("status callback", self._set(self._api, call_sid, url))

    async def close(self) -> None:
        """Cancel the running requests."""
        await self._tasks.cancel()

    async def _set(self, api: TwilioApi, call_sid: str, url: str) -> None:
        try:
            await api.post(f"Calls/{call_sid}.json", {"StatusCallback": url, "StatusCallbackMethod": "POST"})
        except (TwilioError, aiohttp.ClientError, TimeoutError, OSError) as error:
            _logger.warning("the end of a call will not be reported", call_sid=call_sid, reason=str(error))
