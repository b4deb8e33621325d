"""Opens the configured ways to push, each with its key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import aiohttp

from protocol.push import PushKind
from server.config.settings import Settings
from server.http.outbound import open_guarded_session, open_session, trusting
from server.push.apns import open_apns
from server.push.fcm import Fcm, load_account
from server.push.outcome import PushProvider
from server.push.vapid import Vapid, load_vapid
from server.push.webpush import WebPush


class Providers(NamedTuple):
    """The configured providers by kind, and the VAPID public key if Web Push is one of them."""

    by_kind: dict[str, PushProvider]
    public_key: str | None


@asynccontextmanager
async def open_providers(settings: Settings, now_ms: Callable[[], int]) -> AsyncIterator[Providers]:
    """Open them until the block ends. Raises PushKeyError for a key or credential that can't be used."""
    by_kind: dict[str, PushProvider] = {}
    public_key = None
    async with AsyncExitStack() as stack:
        path = settings.vapid_key_path
        if path is not None:
            vapid = Vapid(load_vapid(path, create=settings.development), _subject(settings), now_ms)
            session = await stack.enter_async_context(
                open_guarded_session("push-names", allow_loopback=settings.development, ca_file=settings.push_ca_file)
            )
            by_kind[PushKind.WEBPUSH] = WebPush(session, vapid, settings.push_timeout_seconds)
            public_key = vapid.public_key
        apns = await stack.enter_async_context(open_apns(settings, now_ms))
        if apns is not None:
            by_kind |= {PushKind.APNS: apns, PushKind.APNS_VOIP: apns}
        if settings.push_fcm_credentials_file is not None:
            account, key = load_account(settings.push_fcm_credentials_file)
            connector = aiohttp.TCPConnector(ssl=trusting(settings.push_ca_file), limit=0)
            google = await stack.enter_async_context(open_session(connector=connector))
            by_kind[PushKind.FCM] = Fcm(
                google, settings.push_fcm_url, account, key, settings.push_timeout_seconds, now_ms
            )
        yield Providers(by_kind, public_key)


def _subject(settings: Settings) -> str:
    if settings.push_vapid_subject is not None:
        return settings.push_vapid_subject
    public = settings.public_url or ""
    return public if public.startswith("https://") else "mailto:operator@localhost.invalid"
