"""A node: its parts, its ports, and the order in which they stop."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from server.auth.authentication import Authentication
from server.cluster.cluster import Cluster
from server.http.listening import HttpServer
from server.http.sending import Sending
from server.live.hub import Hub
from server.live.log import Log
from server.live.parties import Parties
from server.node.foundation import Foundation
from server.node.live_path import LivePath
from server.node.privacy import PrivacyNode
from server.node.push import PushNode
from server.node.telephony import TelephonyNode
from server.services.activities import Activities
from server.services.directory.directory import Directory
from server.services.operator.trends import Trends
from server.socket.endpoint import SocketEndpoint
from storage.contract import ActivityLog
from storage.database import Database


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node that runs, and listens once it was told to.

    ``application`` serves every route, ``watching`` only those for a metrics port of its own.
    """

    base: Foundation
    live: LivePath
    telephony: TelephonyNode
    privacy: PrivacyNode
    push: PushNode
    directory: Directory
    sending: Sending
    trends: Trends
    application: web.Application
    watching: web.Application
    servers: list[HttpServer] = field(default_factory=list)

    async def listen(self, listening: socket.socket, **more: Any) -> str:
        """Serve every route on a listening socket; returns the URL. ``more`` as for :class:`HttpServer`."""
        limit = self.base.settings.max_connections
        return await self._serve(HttpServer(self.application, listening, max_connections=limit, **more))

    async def listen_for_metrics(self, listening: socket.socket) -> str:
        """Serve health and metrics on a listening socket of their own; returns the URL."""
        return await self._serve(HttpServer(self.watching, listening))

    async def _serve(self, server: HttpServer) -> str:
        self.servers.append(server)
        return await server.start()

    async def stop(self, drain_seconds: float = 0) -> None:
        """Stop everything that has unfinished work. What was acknowledged is stored; each socket gets a close frame.

        ``drain_seconds``: how long sessions may take to move to another node (:meth:`SocketEndpoint.skip_drain` ends
        the wait). Each step may be repeated. Background tasks and storage end later, with the block of ``open_node``.
        """
        # Sessions are asked to reconnect while everything still works: /readyz says 503, so they reach another node.
        await self.socket.drain(drain_seconds)
        # Then no new connections: one that the kernel still accepted would wait for an answer that never comes.
        for server in self.servers:
            await server.stop_accepting()
        # The log before the sockets: waiting sends are committed, and their acknowledgements are written to the
        # sockets. A send that arrives now gets "unavailable", and its client sends it to another node.
        await self.log.close()
        # A call that must be corrected in the log is acknowledged after that.
        await self.live.call_reports.close()
        # The close frame of each socket follows its last acknowledgement.
        await self.socket.close()
        # Requests last, as a socket is a request too: running ones are finished.
        for server in self.servers:
            await server.close()
        # From here nothing new begins. A webhook attempt may finish; one that does not is repeated later.
        await self.privacy.stop()
        await self.push.stop()
        await self.telephony.stop()
        # Nothing is added any more to data that is only in memory: received ids and decisions on calls are stored.
        await self.socket.frame_handler.close()
        await self.live.devices.close()
        await self.live.receipts.close()
        await self.live.call_log.close()
        # All notices were sent: the other nodes drop this node's sessions at once.
        await self.cluster.leave()

    # --- its parts, by name -------------------------------------------------------------------------------------

    @property
    def database(self) -> Database:
        """The database."""
        return self.base.database

    @property
    def store(self) -> ActivityLog:
        """The activity log in the database."""
        return self.base.store

    @property
    def auth(self) -> Authentication:
        """Checks credentials."""
        return self.base.auth

    @property
    def parties(self) -> Parties:
        """The cache of names and memberships."""
        return self.base.parties

    @property
    def hub(self) -> Hub:
        """The live sessions."""
        return self.live.hub

    @property
    def cluster(self) -> Cluster:
        """This node's side of the cluster."""
        return self.live.cluster

    @property
    def log(self) -> Log:
        """The writer of the activity log."""
        return self.live.log

    @property
    def socket(self) -> SocketEndpoint:
        """The route of the live sockets."""
        return self.live.socket

    @property
    def activities(self) -> Activities:
        """Posting and reading activities."""
        return self.live.activities
