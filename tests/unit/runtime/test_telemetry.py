"""Metrics: plain integers in, Prometheus' text out."""

from __future__ import annotations

import asyncio
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.runtime.telemetry import Metrics, Spread


def scraped(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.scrape().decode())
        for sample in family.samples
    }


def test_tallies_and_watched_values_are_shown() -> None:
    metrics = Metrics()
    metrics.sends.add("stored")
    metrics.sends.add("stored", 2)
    metrics.sends.add("rate_limited")
    opened = [7]
    closes = {1000: 2, 4401: 1}
    metrics.watch_counter("buzz_connects", "Sessions opened", lambda: opened[0])
    metrics.watch_counter("buzz_closes", "Closes", lambda: {str(code): n for code, n in closes.items()}, "code")
    metrics.watch_gauge("buzz_sessions", "Sessions", lambda: 3)
    opened[0] = 8
    values = scraped(metrics)
    assert values["buzz_sends_total", (("result", "stored"),)] == 3
    assert values["buzz_sends_total", (("result", "rate_limited"),)] == 1
    assert values["buzz_connects_total", ()] == 8
    assert values["buzz_closes_total", (("code", "4401"),)] == 1
    assert values["buzz_sessions", ()] == 3


def test_a_spread_is_a_cumulative_histogram() -> None:
    metrics = Metrics()
    for size in (1, 1, 3, 10_000):
        metrics.commit_size.observe(size)
    metrics.commit_size.observe(2, times=5)
    values = scraped(metrics)
    assert values["buzz_commit_activities_bucket", (("le", "1"),)] == 2
    assert values["buzz_commit_activities_bucket", (("le", "2"),)] == 7
    assert values["buzz_commit_activities_bucket", (("le", "1000"),)] == 8
    assert values["buzz_commit_activities_bucket", (("le", "+Inf"),)] == 9
    assert values["buzz_commit_activities_count", ()] == 9
    assert values["buzz_commit_activities_sum", ()] == 10_015
    assert metrics.commit_size.count == 9


def test_the_process_is_among_them() -> None:
    values = scraped(Metrics())
    assert values["process_resident_memory_bytes", ()] > 1_000_000
    assert values["process_open_fds", ()] > 0


def test_a_name_is_given_once() -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="buzz_sends is defined twice"):
        metrics.tally("buzz_sends", "again", "result", ())


def test_what_was_not_declared_is_counted_and_reported() -> None:
    metrics = Metrics()
    metrics.sends.add("stored")
    assert metrics.undeclared() == {}
    metrics.sends.add("surprise")
    assert scraped(metrics)["buzz_sends_total", (("result", "surprise"),)] == 1
    assert metrics.undeclared() == {"buzz_sends": {"surprise"}}


def test_two_nodes_in_one_process_do_not_share() -> None:
    one, other = Metrics(), Metrics()
    one.sends.add("stored")
    assert scraped(other)["buzz_sends_total", (("result", "stored"),)] == 0


def test_values_leave_out_buckets() -> None:
    metrics = Metrics()
    metrics.sends.add("stored")
    metrics.commit_seconds.observe(0.5)
    values = metrics.values()
    assert values["buzz_sends_total{result=stored}"] == 1
    assert values["buzz_commit_seconds_sum"] == 0.5
    assert not [name for name in values if "bucket" in name]


async def test_the_probe_sees_a_loop_that_is_held_up() -> None:
    metrics = Metrics()
    probe = asyncio.create_task(metrics.probe_loop(), name="probe")
    while not metrics.loop_lag_seconds.count:  # noqa: ASYNC110 - a plain count, by design
        await asyncio.sleep(0.01)
    time.sleep(0.3)  # noqa: ASYNC251 - the fault under test
    while metrics.loop_lag_seconds.total < 0.1:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    probe.cancel()
    await asyncio.wait([probe])


def test_observing_is_cheap_enough_for_every_send() -> None:
    spread = Spread((0.001, 0.01, 0.1, 1))
    for value in (0.0, 0.001, 0.0011, 5.0):
        spread.observe(value)
    assert [count for _, count in spread.buckets()] == [2, 3, 3, 3, 4]
