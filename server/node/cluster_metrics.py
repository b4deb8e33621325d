"""The cluster's metrics: notices, and polls of the log that found what no notice had announced.

All 0 on a single node.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from server.cluster.cluster import Cluster
from server.runtime.telemetry import Metrics

_NOTICES: Final = ("published", "heard", "dropped", "malformed")
_COMMITS: Final = {
    "heard": "heard", "late": "late", "hole": "holes", "overflow": "overflow", "stranger": "foreign_epoch",
    "skipped": "skipped",
}  # fmt: skip


def watch_cluster(metrics: Metrics, cluster: Cluster) -> None:
    """Register the metrics of notices and polls."""
    tail = Counter[str]() if cluster.tail is None else cluster.tail.counts
    bus = cluster.bus.counts
    metrics.watch_gauge(
        "buzz_bus_up", "Whether notices pass between the nodes (1 without a bus)", lambda: int(cluster.bus.up)
    )
    metrics.watch_counter(
        "buzz_notices", "Notices on the bus, by result",
        lambda: {name: bus[name] for name in _NOTICES}, "result",
    )  # fmt: skip
    metrics.watch_counter(
        "buzz_commits_heard", "Notices of other nodes' commits, by result",
        lambda: {label: tail[name] for label, name in _COMMITS.items()}, "result",
    )  # fmt: skip
    metrics.watch_counter(
        "buzz_looks", "Reads of the log without a notice, by result",
        lambda: {"found": tail["found"], "nothing": tail["polls"] - tail["found"]}, "result",
    )  # fmt: skip
