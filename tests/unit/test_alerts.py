"""The alerts of deploy/prometheus, by Prometheus' own tool: valid, and fired by a node's first failure."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.runtime.telemetry import Metrics
from server.services.telephony_metrics import TelephonyMetrics
from tests.harness.programs import program

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = FOLDER / "alerts.yaml"
NODE = 'instance="buzz-1:8080", job="buzz"'
FIRST_FAILURES = {
    "BuzzSendsUnavailable": 'buzz_sends_total{result="unavailable"}',
    "BuzzLookupsLate": 'buzz_trust_lookups_total{answer="late"}',
    "BuzzPoolEmpty": 'buzz_numbers_wanted_total{result="none"}',
    "BuzzWebhooksFail": 'buzz_webhook_deliveries_total{result="failed"}',
}
"""Alerts over counters with a label, and the series of which one failure is enough."""


def promtool(*arguments: str | Path) -> str:
    """Run promtool and return what it prints. Fails with that if promtool fails."""
    done = subprocess.run(
        [program("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def first_failure(alert: str, history: str, fires: bool) -> dict[str, Any]:
    """Return a test of one alert: the series has this history, a value a minute."""
    name, _, labels = FIRST_FAILURES[alert].rstrip("}").partition("{")
    return {
        "interval": "1m",
        "input_series": [{"series": f"{name}{{{labels}, {NODE}}}", "values": history}],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
                "eval_time": "14m",
                "exp_samples": [{"labels": "{}", "value": int(fires)}],
            }
        ],
    }


def run_rule_tests(folder: Path, tests: list[dict[str, Any]]) -> None:
    page = folder / "tests.yaml"
    page.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", page)


def test_the_rules_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES)


def test_the_configuration_is_valid() -> None:
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", FOLDER / "prometheus.yaml")


@pytest.mark.parametrize("alert", FIRST_FAILURES)
def test_a_new_node_shows_the_series_of_the_alert_at_0(alert: str) -> None:
    metrics = Metrics()
    TelephonyMetrics(metrics)
    assert f"{FIRST_FAILURES[alert]} 0.0" in metrics.scrape().decode().splitlines()


def test_the_first_failure_fires_because_its_series_began_at_0(tmp_path: Path) -> None:
    run_rule_tests(tmp_path, [first_failure(alert, "0x10 1x10", fires=True) for alert in FIRST_FAILURES])


def test_without_the_0_it_would_not_fire(tmp_path: Path) -> None:
    """The control: a series that begins with its first failure has not increased."""
    run_rule_tests(tmp_path, [first_failure(alert, "_x10 1x10", fires=False) for alert in FIRST_FAILURES])


def test_clients_that_come_again_and_again_are_noticed(tmp_path: Path) -> None:
    """One that cannot read a frame closes at each attempt; a single close says little."""
    series = f'buzz_frames_refused_total{{sent="catch_up", {NODE}}}'
    expression = 'count(ALERTS{alertname="BuzzClientsCannotRead", alertstate="firing"}) or vector(0)'
    run_rule_tests(
        tmp_path,
        [
            {
                "interval": "1m",
                "input_series": [{"series": series, "values": history}],
                "promql_expr_test": [
                    {"expr": expression, "eval_time": "20m", "exp_samples": [{"labels": "{}", "value": fires}]}
                ],
            }
            for history, fires in (("0x5 0+2x20", 1), ("0x5 1x20", 0))
        ],
    )
