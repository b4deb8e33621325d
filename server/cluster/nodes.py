"""What every node of the cluster says of itself, for the operators' page and `run.py nodes`.

A node sends it with its beats on the bus. Nothing is decided by it: who has which sessions is presence's affair.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from server.bus.notices import NodeState
from server.cluster.presence import SILENT_SECONDS
from server.config.version import VERSION
from server.live.hub import Hub

STATE_SECONDS: Final = 4.0
"""How old what a node says of itself may be: counting many sessions at every beat would cost time."""
FORGOTTEN_SECONDS: Final = 600.0
"""A silent node is listed for so long."""
MAX_NODES: Final = 1_000


class ListedNode(NamedTuple):
    """A node as this one knows it. ``heard_seconds``: how long ago it was heard; 0 for this node itself."""

    state: NodeState
    here: bool
    heard_seconds: float

    @property
    def silent(self) -> bool:
        """Whether it should have been heard since: it is frozen, cut off or was killed."""
        return self.heard_seconds > SILENT_SECONDS


class Nodes:
    """The nodes of the cluster. One instance for each node."""

    def __init__(self, hub: Hub, now_ms: Callable[[], int], now_seconds: Callable[[], float] = time.monotonic) -> None:
        self.is_draining: Callable[[], bool] = lambda: False
        """Whether this node takes no new sessions."""
        self._hub = hub
        self._now_seconds = now_seconds
        self._host = socket.gethostname()[:200]
        self._started_at_ms = now_ms()
        self._mine: tuple[float, NodeState] | None = None
        self._others: dict[bytes, tuple[float, NodeState]] = {}

    def mine(self) -> NodeState:
        """Return what this node says of itself, at most some seconds old."""
        now = self._now_seconds()
        if self._mine is None or now - self._mine[0] >= STATE_SECONDS:
            behind = sum(not session.live for session in self._hub)
            self._mine = (
                now,
                NodeState(
                    self._host,
                    os.getpid(),
                    VERSION,
                    self._started_at_ms,
                    len(self._hub),
                    behind,
                    self._hub.head,
                    self.is_draining(),
                ),
            )
        return self._mine[1]

    def heard(self, node: bytes, state: NodeState | None) -> None:
        """Store what another node says of itself; None: it is of a release that says nothing."""
        if state is not None and (node in self._others or len(self._others) < MAX_NODES):
            self._others[node] = self._now_seconds(), state

    def left(self, node: bytes) -> None:
        """Remove a node that has stopped and said so."""
        self._others.pop(node, None)

    def all(self) -> list[ListedNode]:
        """Return this node and all others, by host."""
        now = self._now_seconds()
        self._mine = None  # asked for by a person: as it is now
        for node in [node for node, (at, _) in self._others.items() if now - at > FORGOTTEN_SECONDS]:
            del self._others[node]
        others = (ListedNode(state, here=False, heard_seconds=now - at) for at, state in self._others.values())
        return sorted([ListedNode(self.mine(), here=True, heard_seconds=0.0), *others], key=_by_host)


def _by_host(known: ListedNode) -> tuple[str, int]:
    return known.state.host, known.state.process_id
