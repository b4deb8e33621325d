"""Opens authentication: its keys, revocations and the identity provider, and the tasks that follow them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from server.auth.authentication import Authentication
from server.auth.claims import Provider
from server.auth.contract import People
from server.auth.jwks import JwksError, ProviderKeys, check_source
from server.auth.revocations import Revocations
from server.auth.signing_keys import load_or_create
from server.config.settings import Settings
from server.runtime.clock import wall_clock_ms
from server.runtime.tasks import running
from server.twilio.requests import TwilioRequests
from storage.accounts import AccountStore

_logger = structlog.get_logger("auth")


@asynccontextmanager
async def open_authentication(
    settings: Settings, accounts: AccountStore, people: People, now_ms: Callable[[], int] = wall_clock_ms
) -> AsyncIterator[Authentication]:
    """Read keys and revocations, then poll them and the directory's changes, until the block ends.

    Raises KeyFileError, JwksError (a file that can't be read; a URL is only warned about), StorageError.
    """
    key_file = settings.signing_key_path
    is_new = not key_file.exists()
    ring = load_or_create(key_file, development=settings.development)
    if is_new and settings.database_url is not None:
        _logger.warning(
            "made a new signing key: all nodes need the same one, set BUZZ_SIGNING_KEY_FILE on each",
            file=str(key_file),
            kid=ring.signing.kid,
        )
    revocations = Revocations(accounts, now_ms)
    await revocations.poll()
    await people.poll()
    provider = await _open_provider(settings, now_ms)
    token = settings.twilio_auth_token
    twilio = TwilioRequests(token.get_secret_value() if token else None, settings.public_url)
    auth = Authentication(key_file, ring, revocations, people, provider, twilio, now_ms)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running("auth: what has ended", auth.follow()))
        if provider is not None:
            await stack.enter_async_context(running("auth: provider", auth.follow_provider(provider)))
        yield auth


async def _open_provider(settings: Settings, now_ms: Callable[[], int]) -> ProviderKeys | None:
    if settings.jwks is None or settings.jwt_issuer is None or settings.jwt_audience is None:
        return None
    check_source(settings.jwks)
    provider = Provider(
        settings.jwks,
        settings.jwt_issuer,
        settings.jwt_audience,
        settings.jwt_person_claim,
        settings.jwt_client_claim,
        settings.jwt_client_ids,
    )
    keys = ProviderKeys(provider, now_ms)
    try:
        await keys.refresh()
    except JwksError as error:
        if "://" not in settings.jwks:
            raise
        _logger.warning("the identity provider's keys can't be read yet", reason=str(error))
    return keys
