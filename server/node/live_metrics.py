"""The metrics of the live path: its parts count in plain integers, which are read at a scrape."""

from __future__ import annotations

from server.http.sending import Sending
from server.live.catch_up import CatchUp
from server.live.hub import Hub
from server.live.log import Log
from server.runtime.telemetry import Metrics
from server.socket.endpoint import SocketEndpoint


def watch_live_path(metrics: Metrics, hub: Hub, socket: SocketEndpoint, log: Log, catch_up: CatchUp) -> None:
    """Show the node's sessions, frames, commits and catch-up reads."""
    _watch_sessions(metrics, hub, socket)
    _watch_traffic(metrics, socket)
    metrics.watch_counter("buzz_commits", "Commits of the log", lambda: log.commits)
    metrics.watch_counter("buzz_committed_activities", "Activities committed by this node", lambda: log.committed)
    metrics.watch_gauge("buzz_head_id", "The newest activity id that live sessions were served", lambda: hub.head)
    metrics.watch_gauge("buzz_catch_up_sessions", "Sessions that wait for a catch-up read", lambda: len(catch_up))
    metrics.watch_counter(
        "buzz_catch_up_reads", "Reads of the log for sessions that are behind", lambda: catch_up.reads
    )
    metrics.watch_counter("buzz_catch_up_activities", "Activities such reads delivered", lambda: catch_up.activities)


def watch_sending(metrics: Metrics, sending: Sending) -> None:
    """Show the large answers that are being sent over HTTP."""
    metrics.watch_gauge("buzz_answers", "Histories and pages that are being sent over HTTP", lambda: len(sending))
    metrics.watch_counter(
        "buzz_answers_ended", "Histories and pages that were not sent, or not to their end", lambda: sending.counts,
        "reason",
    )  # fmt: skip


def _watch_sessions(metrics: Metrics, hub: Hub, socket: SocketEndpoint) -> None:
    stats = socket.stats
    metrics.watch_gauge("buzz_sessions", "Live sessions on this node", lambda: len(hub))
    metrics.watch_gauge("buzz_sessions_behind", "Sessions that are behind the head", lambda: len(_behind(hub)))
    metrics.watch_gauge(
        "buzz_sessions_behind_activities", "Ids between the head and the session that is furthest behind",
        lambda: max(_behind(hub), default=0),
    )  # fmt: skip
    metrics.watch_counter("buzz_connects", "Sessions opened", lambda: stats.opened)
    metrics.watch_counter("buzz_connects_refused", "Upgrades refused because the node was full", lambda: stats.refused)
    metrics.watch_counter(
        "buzz_closes", "Sockets that ended, by close code",
        lambda: {str(int(code)): count for code, count in stats.closes.items()}, "code",
    )  # fmt: skip


def _watch_traffic(metrics: Metrics, socket: SocketEndpoint) -> None:
    stats = socket.stats
    metrics.watch_counter("buzz_frames_received", "Frames read from clients", lambda: stats.frames_in)
    metrics.watch_counter("buzz_frames_sent", "Frames written to clients", lambda: socket.traffic()[2])
    metrics.watch_counter("buzz_bytes_received", "Bytes read from sockets", lambda: socket.traffic()[0])
    metrics.watch_counter("buzz_bytes_sent", "Bytes written to sockets", lambda: socket.traffic()[1])


def _behind(hub: Hub) -> list[int]:
    """Return how many ids each session that is not live is behind the head."""
    head = hub.head
    return [head - session.cursor for session in hub if not session.live]
