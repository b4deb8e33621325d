"""Buys numbers from Twilio under the allocation's own name, so that none is bought twice.

https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from protocol.phone import parse_e164
from server.services.telephony.numbers import Bought, NumberUnavailable
from server.twilio.api import TwilioApi, TwilioError

CANDIDATES: Final = 10
_TAKEN_MEANWHILE: Final = 21422
"""https://www.twilio.com/docs/api/errors/21422: the number is not available any more."""

_WAITING: Final = "Twilio asked for fewer requests: waiting"
_BACK_OFF_SECONDS: Final = 10.0
_MAX_BACK_OFF_SECONDS: Final = 300.0


class VoiceUrls(NamedTuple):
    """The URLs that Twilio requests for a call to a number.

    ``first``, and ``fallback`` if the first gave no valid answer.
    """

    first: str
    fallback: str


class TwilioNumbers:
    """The ``twilio`` provider. ``voice_urls`` are those of the numbers bought here.

    After a 429 no request is sent until its time is over; ``now`` is a monotonic clock in seconds.
    """

    def __init__(
        self, api: TwilioApi, country: str, voice_urls: VoiceUrls, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._country = country
        self._voice_urls = voice_urls
        self._now = now
        self._not_before = 0.0

    async def find(self, allocation_id: str) -> Bought | None:
        """Return what an unfinished attempt has bought under this allocation's name.

        Raises TwilioError, never NumberUnavailable: without an answer, a number may have been bought.
        """
        if self._must_wait():
            raise TwilioError(429, 0, _WAITING)
        try:
            answer = await self._api.get("IncomingPhoneNumbers.json", {"FriendlyName": _name(allocation_id)})
        except TwilioError as error:
            self._note(error)
            raise
        named = [
            one for one in _listed(answer, "incoming_phone_numbers") if one.get("friendly_name") == _name(allocation_id)
        ]
        return _bought(named[0]) if named else None

    async def buy(self, allocation_id: str) -> Bought:
        """Buy the first candidate that is still available.

        Raises NumberUnavailable if Twilio certainly sold nothing; after a timeout or a 5xx the error is raised
        unchanged, and the next attempt looks the name up first.
        """
        if self._must_wait():
            raise NumberUnavailable(_WAITING)
        for number in await self._candidates():
            try:
                return _bought(await self._api.post("IncomingPhoneNumbers.json", self._order(number, allocation_id)))
            except TwilioError as error:
                if error.code != _TAKEN_MEANWHILE:
                    raise self._refused(error) from error
        raise NumberUnavailable(f"Twilio has no number for sale in {self._country} now")

    async def _candidates(self) -> list[str]:
        try:
            answer = await self._api.get(
                f"AvailablePhoneNumbers/{self._country}/Local.json",
                {"VoiceEnabled": "true", "ExcludeAllAddressRequired": "true", "PageSize": str(CANDIDATES)},
            )
        except TwilioError as error:
            # Nothing was ordered yet, whatever the error.
            self._note(error)
            raise NumberUnavailable(str(error)) from error
        numbers = [one.get("phone_number") for one in _listed(answer, "available_phone_numbers")]
        return [number for number in numbers if isinstance(number, str) and parse_e164(number)]

    def _order(self, number: str, allocation_id: str) -> dict[str, str]:
        return {
            "PhoneNumber": number,
            "FriendlyName": _name(allocation_id),
            "VoiceUrl": self._voice_urls.first,
            "VoiceMethod": "POST",
            "VoiceFallbackUrl": self._voice_urls.fallback,
            "VoiceFallbackMethod": "POST",
        }

    def _refused(self, error: TwilioError) -> Exception:
        self._note(error)
        return NumberUnavailable(str(error)) if error.is_refusal else error

    def _note(self, error: TwilioError) -> None:
        if error.status == 429:
            wait = min(error.retry_after_seconds or _BACK_OFF_SECONDS, _MAX_BACK_OFF_SECONDS)
            self._not_before = self._now() + wait

    def _must_wait(self) -> bool:
        return self._now() < self._not_before


def _name(allocation_id: str) -> str:
    return f"buzz:{allocation_id}"


def _listed(answer: dict[str, Any], resource: str) -> list[dict[str, Any]]:
    found = answer.get(resource)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _bought(answer: dict[str, Any]) -> Bought:
    number, sid = answer.get("phone_number"), answer.get("sid")
    if not isinstance(number, str) or not isinstance(sid, str) or parse_e164(number) is None:
        raise TwilioError(502, 0, "an order was answered without a number")
    return Bought(number, sid)
