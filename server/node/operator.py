"""The operator's part of a node: builds and connects the routes of `/admin` but the directory and privacy requests."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from server.http.sending import Sending
from server.node.foundation import Foundation
from server.node.live_path import LivePath
from server.routes import admin, number_admin, operator_search, operator_views, personal_data
from server.routes.health import Check
from server.services.operator.backups import Backups
from server.services.operator.census import Census
from server.services.operator.directory_search import DirectorySearch
from server.services.operator.erasure import Erasure
from server.services.operator.personal_data import PersonalData, Remove
from server.services.operator.timeline import Timelines
from server.services.operator.trends import Trends
from server.services.privacy.deadlines import PrivacyDeadlines
from server.services.privacy.requests import PrivacyRequests
from storage.accounts import AccountStore
from storage.sqlite.database import SqliteDatabase
from storage.telephony.numbers import NumberStore


def operator_routes(
    base: Foundation,
    live: LivePath,
    trends: Trends,
    remove: Remove,
    privacy: PrivacyRequests,
    sending: Sending,
    checks: Mapping[str, Check],
) -> list[web.RouteDef]:
    """Return the routes. ``remove`` is the directory's way to remove an object; ``checks``: more for the doctor."""
    settings, database, store, auth = base.settings, base.database, base.store, base.auth
    compact = database if isinstance(database, SqliteDatabase) else None
    data = PersonalData(database, store, remove, privacy)
    erasure = Erasure(database, data, auth, live.hub, compact)
    census = Census(settings, database, store, live.hub, base.metrics)
    backups = Backups(settings.data_dir, database)
    # The services that the doctor checks by name, besides the database.
    services = {**live.cluster.checks, **checks}
    return [
        *admin.SessionListResource(auth, live.hub, AccountStore(database)).routes(),
        *admin.NodeListResource(auth, live.cluster.nodes).routes(),
        *admin.RightsResource(auth, erasure).routes(),
        *personal_data.ExportResource(data, auth, sending).routes(),
        *admin.FiguresResource(auth, census).routes(),
        *admin.StorageResource(auth, backups, settings, database, store, services).routes(),
        *number_admin.NumberResource(NumberStore(database), auth, base.now_ms, settings.number_source).routes(),
        *operator_search.OperatorSearchResource(
            DirectorySearch(database), Timelines(database, store, live.hub, base.parties), auth
        ).routes(),
        *operator_views.OperatorViewResource(trends, PrivacyDeadlines(database, base.now_ms), auth).routes(),
    ]
