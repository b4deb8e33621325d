"""The operator's half of a node: builds and joins what `/admin` offers beside the directory and privacy requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from server.auth.authentication import Authentication
from server.config.settings import Settings
from server.live.hub import Hub
from server.routes import admin, number_admin, operator_views
from server.routes.health import Check
from server.runtime.telemetry import Metrics
from server.services.operator.backups import Backups
from server.services.operator.census import Census
from server.services.operator.erasure import Erasure, Remove
from server.services.operator.trends import Trends
from server.services.privacy.deadlines import PrivacyDeadlines
from server.services.privacy.requests import PrivacyRequests
from storage.contract import ActivityLog
from storage.database import Database
from storage.sqlite.database import SqliteDatabase
from storage.telephony.numbers import NumberStore


def operator_routes(
    settings: Settings,
    database: Database,
    log: ActivityLog,
    auth: Authentication,
    hub: Hub,
    metrics: Metrics,
    trends: Trends,
    remove: Remove,
    privacy: PrivacyRequests,
    now_ms: Callable[[], int],
    services: Mapping[str, Check],
) -> list[web.RouteDef]:
    """The routes. ``remove`` is the directory's way to remove an object; ``services``: what the doctor asks by name."""
    compact = database if isinstance(database, SqliteDatabase) else None
    erasure = Erasure(database, log, auth, remove, privacy, hub, compact)
    census = Census(settings, database, log, hub, metrics)
    backups = Backups(settings.data_dir, database)
    return [
        *admin.routes(auth, hub, census, erasure, backups, settings, database, log, services),
        *number_admin.routes(NumberStore(database), auth, now_ms),
        *operator_views.routes(trends, PrivacyDeadlines(database, now_ms), auth),
    ]
