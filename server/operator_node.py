"""The operator's half of a node: builds and joins what `/admin` offers beside the directory and privacy requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from server.authentication import Authentication
from server.live.hub import Hub
from server.routes import admin, number_admin, operator_views
from server.routes.health import Check
from server.services.backups import Backups
from server.services.census import Census
from server.services.erasure import Erasure, Remove
from server.services.privacy import PrivacyRequests
from server.services.privacy_deadlines import PrivacyDeadlines
from server.services.trends import Trends
from server.settings import Settings
from server.telemetry import Metrics
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
