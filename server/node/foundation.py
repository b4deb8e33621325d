"""What every part of a node uses: its settings, database, authentication, metrics and clock."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from server.auth.authentication import Authentication
from server.auth.opening import open_authentication
from server.config.settings import Settings, Traces
from server.config.version import VERSION
from server.http.origins import Origins
from server.live.parties import FRESH_SECONDS, Parties
from server.runtime.telemetry import Metrics
from server.runtime.tracing import Tracing, open_otlp
from server.services.telephony_metrics import TelephonyMetrics
from storage.accounts import AccountStore
from storage.contract import ActivityLog
from storage.database import Database
from storage.errors import StorageError
from storage.migrate import migrate, pending, steps
from storage.opening import open_storage


@dataclass(frozen=True)
class Foundation:
    """One for each node. ``store`` is the activity log in ``database``; ``now_ms`` the wall clock in milliseconds."""

    settings: Settings
    database: Database
    store: ActivityLog
    accounts: AccountStore
    parties: Parties
    auth: Authentication
    metrics: Metrics
    telephony: TelephonyMetrics
    tracing: Tracing
    origins: Origins
    now_ms: Callable[[], int]

    @property
    def is_shared(self) -> bool:
        """Whether other nodes may use the database."""
        return self.settings.database_url is not None


@asynccontextmanager
async def open_foundation(settings: Settings, now_ms: Callable[[], int]) -> AsyncIterator[Foundation]:
    """Open storage, then authentication on it; close them in the reverse order.

    Raises StorageError, KeyFileError or JwksError with what to do about it.
    """
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        metrics.info("buzz_build_info", "The release that runs, and what it runs on", _build(settings))
        database, store = await stack.enter_async_context(_open_database(settings))
        accounts = AccountStore(database)
        parties = Parties(database, fresh_seconds=None if settings.database_url is None else FRESH_SECONDS)
        stack.push_async_callback(parties.close)
        auth = await stack.enter_async_context(open_authentication(settings, accounts, parties, now_ms))
        metrics.watch_counter(
            "buzz_tokens_refused", "Tokens refused, by reason", lambda: auth.refusals.counts, "reason"
        )
        origins = Origins(settings.origins, development=settings.development)
        telephony = TelephonyMetrics(metrics)
        tracing = open_otlp() if settings.traces is Traces.OTLP else Tracing()
        stack.push_async_callback(asyncio.to_thread, tracing.close)
        yield Foundation(
            settings, database, store, accounts, parties, auth, metrics, telephony, tracing, origins, now_ms
        )


def _build(settings: Settings) -> dict[str, str]:
    return {
        "version": VERSION,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "database": "sqlite" if settings.database_url is None else "postgresql",
    }


@asynccontextmanager
async def _open_database(settings: Settings) -> AsyncIterator[tuple[Database, ActivityLog]]:
    """Open the database and its log; it is migrated in development and checked in production."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    url = settings.database_url.get_secret_value() if settings.database_url is not None else None
    async with open_storage(settings.data_dir, url, settings.database_connections) as (database, store):
        await _migrate(database, settings.development)
        yield database, store


async def _migrate(database: Database, development: bool) -> None:
    if development:
        await migrate(database)
    elif missing := await pending(database):
        if len(missing) == len(steps(database.dialect)):
            raise StorageError("The database is empty: create its tables with `run.py migrate` first.")
        raise StorageError("The database's schema is older than this release: run `run.py migrate` first.")
