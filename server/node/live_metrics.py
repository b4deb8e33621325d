"""The metrics of the live path: its parts count in plain integers, which are read at a scrape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocol.errors import CloseCode
from server.http.sending import ENDINGS, Sending
from server.live.catch_up import CatchUp
from server.live.hub import Hub
from server.live.log import Log
from server.runtime.telemetry import Metrics
from server.socket.endpoint import SocketEndpoint

_CODES: Final = tuple(str(code) for code in sorted({*map(int, CloseCode), *range(1000, 1004), *range(1005, 1016)}))
"""The close codes of Buzz, and those that RFC 6455 and its registry name."""
_OTHER: Final = "other"


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
        "buzz_answers_ended", "Histories and pages that were not sent, or not to their end",
        lambda: dict.fromkeys(ENDINGS, 0) | sending.counts, "reason",
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
        lambda: _by_code(stats.closes), "code",
    )  # fmt: skip
    metrics.watch_counter(
        "buzz_frames_refused", "Sockets that clients closed with 1009 because our frame was too large for them",
        lambda: socket.acceptor.refused_frames.closes, "sent",
    )  # fmt: skip


def _watch_traffic(metrics: Metrics, socket: SocketEndpoint) -> None:
    stats = socket.stats
    metrics.watch_counter("buzz_frames_received", "Frames read from clients", lambda: stats.frames_in)
    metrics.watch_counter("buzz_frames_sent", "Frames written to clients", lambda: socket.traffic()[2])
    metrics.watch_counter("buzz_bytes_received", "Bytes read from sockets", lambda: socket.traffic()[0])
    metrics.watch_counter("buzz_bytes_sent", "Bytes written to sockets", lambda: socket.traffic()[1])


def _by_code(closes: Mapping[int, int]) -> dict[str, int]:
    """Return the counts by code, 0 for each that has not been seen. Codes of a client's own are ``other``."""
    found = {**dict.fromkeys(_CODES, 0), _OTHER: 0}
    for code, count in closes.items():
        label = str(int(code))
        found[label if label in found else _OTHER] += count
    return found


def _behind(hub: Hub) -> list[int]:
    """Return how many ids each session that is not live is behind the head."""
    head = hub.head
    return [head - session.cursor for session in hub if not session.live]
