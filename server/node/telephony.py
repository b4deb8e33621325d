"""The telephony part of a node: builds and connects look-ups, call screening, the list of calls and Buzz numbers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from protocol.attestation import Attestation
from server.http.direct import Direct
from server.node.foundation import Foundation
from server.node.live_path import LivePath
from server.node.twilio_account import number_provider
from server.routes import blocked, heartbeat, lookups, twilio_voice, voice_token
from server.routes import call_settings as call_settings_routes
from server.runtime.tasks import running
from server.services.calls.call_retention import CallRetention
from server.services.telephony.call_settings import OwnCallSettings
from server.services.telephony.heartbeat import Heartbeats, tell_number
from server.services.telephony.numbers import Numbers
from server.services.telephony.screening import Screening
from server.services.telephony.trust import Trust
from server.services.telephony.voice_tokens import VoiceTokens
from server.twilio.api import TwilioApi
from storage.telephony.call_settings import CallSettingStore
from storage.telephony.callers import CallerStore
from storage.telephony.calls import CallStore
from storage.telephony.numbers import NumberStore


@dataclass(frozen=True)
class TelephonyNode:
    """The parts that the rest of the node uses."""

    routes: list[web.RouteDef]
    directs: dict[str, Direct]
    trust: Trust
    numbers: Numbers

    async def stop(self) -> None:
        """Answer the waiting look-ups, and cancel the running purchases."""
        await self.trust.close()
        await self.numbers.close()


@asynccontextmanager
async def open_telephony(base: Foundation, live: LivePath, twilio: TwilioApi | None) -> AsyncIterator[TelephonyNode]:
    """Build it and run its tasks until the block ends."""
    settings, database, auth, now_ms = base.settings, base.database, base.auth, base.now_ms
    async with AsyncExitStack() as stack:
        attestation = Attestation(settings.attestation, settings.attestation_level)
        trust = Trust(
            CallerStore(database),
            live.call_log,
            base.telephony,
            settings.lookup_deadline_ms / 1000,
            now_ms,
            attestation,
        )
        numbers = Numbers(
            NumberStore(database),
            base.telephony,
            now_ms,
            provider=number_provider(settings, twilio),
            fictional=settings.number_source == "fictional",
            given=tell_number(live.events),
        )
        retention = CallRetention(CallStore(database), settings.call_log_days, now_ms)
        await stack.enter_async_context(running("calls' retention", retention.run()))
        looking_up = lookups.LookupResource(trust, auth)
        routes = [
            *looking_up.routes(),
            *heartbeat.HeartbeatResource(Heartbeats(database, live.activities, numbers), auth).routes(),
            *blocked.CallListResource(live.call_log, auth).routes(),
            *call_settings_routes.CallSettingsResource(
                OwnCallSettings(CallSettingStore(database), attestation), auth
            ).routes(),
            *voice_token.VoiceTokenResource(VoiceTokens(settings, now_ms), auth).routes(),
            *twilio_voice.VoiceResource(Screening(trust, live.call_log, live.activities), auth).routes(),
        ]
        yield TelephonyNode(routes, looking_up.directs(), trust, numbers)
