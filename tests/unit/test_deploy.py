"""The files under deploy/: each parses, and says nothing of Buzz that is not so."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.config.settings import Settings
from tests.harness.programs import program

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DRAIN_SECONDS = Settings.model_fields["drain_seconds"].default
HEARTBEAT_SECONDS = Settings.model_fields["heartbeat_seconds"].default
SETTINGS = {f"BUZZ_{name.upper()}" for name in Settings.model_fields}
NODES = ["buzz-1:8080", "buzz-2:8080"]


def text(name: str) -> str:
    return (DEPLOY / name).read_text()


def listed_metrics() -> set[str]:
    """What docs/metrics.md lists, which a test holds to the code."""
    listed = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    return listed | {f"{name}_bucket" for name in listed if name.endswith(("_seconds", "_activities"))} | {"up"}


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\b((?:buzz|process)_\w+|up)\b(?!\")", expression))


class TestDockerfile:
    LINES = tuple(line for line in text("Dockerfile").replace("\\\n", " ").splitlines() if line and line[0] != "#")

    def test_the_server_is_not_root_and_is_looked_after(self) -> None:
        instructions = [line.split(maxsplit=1)[0] for line in self.LINES]
        assert [line for line in self.LINES if line.startswith("USER")] == ["USER buzz"]
        assert instructions.index("USER") < instructions.index("ENTRYPOINT")
        [check] = [line for line in self.LINES if line.startswith("HEALTHCHECK")]
        assert "/healthz" in check
        assert "STOPSIGNAL SIGTERM" in self.LINES

    def test_it_installs_what_is_pinned_and_copies_what_is_there(self) -> None:
        [install] = [line for line in self.LINES if "pip install" in line]
        assert "--require-hashes" in install
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        for line in self.LINES:
            if line.startswith("COPY") and "--from" not in line:
                source = line.split()[1]
                assert (ROOT / source).exists(), source
                assert any(pattern.startswith(f"!{source}") for pattern in ignored), f"{source} is left out"

    def test_its_settings_exist(self) -> None:
        assert set(re.findall(r"\b(BUZZ_[A-Z_]+)=", text("Dockerfile"))) <= SETTINGS


class TestCompose:
    FILE = yaml.safe_load(text("compose.yaml"))
    SERVICES: dict[str, Any] = FILE["services"]

    def test_two_nodes_share_a_database_a_bus_and_a_key(self) -> None:
        one, other = self.SERVICES["buzz-1"], self.SERVICES["buzz-2"]
        assert one == other
        names = {"BUZZ_DATABASE_URL", "BUZZ_BUS_URL", "BUZZ_SIGNING_KEY_FILE", "BUZZ_PUBLIC_URL"}
        assert names <= set(one["environment"]) <= SETTINGS
        assert one["environment"]["BUZZ_MODE"] == "production"

    def test_the_settings_are_taken(self) -> None:
        environment = self.SERVICES["buzz-1"]["environment"]
        given = {name: re.sub(r"\$\{(\w+)(:[^}]*)?\}", r"\1", value) for name, value in environment.items()}
        fields = {name.removeprefix("BUZZ_").lower(): value for name, value in given.items()}
        fields["trusted_hops"] = int(fields["trusted_hops"])
        settings = Settings(**fields)
        assert settings.database_url is not None
        assert settings.bus_url is not None

    def test_it_stops_later_than_it_drains_and_starts_after_the_migration(self) -> None:
        node = self.SERVICES["buzz-1"]
        assert int(node["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS
        assert node["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert self.SERVICES["migrate"]["command"] == ["migrate"]
        assert node["ulimits"]["nofile"] > Settings.model_fields["max_sessions"].default

    def test_every_volume_and_service_that_is_named_exists(self) -> None:
        for service in self.SERVICES.values():
            for volume in service.get("volumes", ()):
                source = volume.split(":")[0]
                assert source in self.FILE["volumes"] or (DEPLOY / source).exists(), source
            assert set(service.get("depends_on", ())) <= set(self.SERVICES)
        assert self.SERVICES["valkey"]["command"][1:] == ["--save", "", "--appendonly", "no"]


def blocks(source: str) -> Any:
    """nginx's and Caddy's files as nested lists of words: enough to see that they are whole."""
    words = re.findall(
        r"\"[^\"]*\"|'[^']*'|\$\{[^}]*\}|\{\$[^}]*\}|[{};]|[^\s{};]+", re.sub(r"(?m)(?:^|\s)#.*$", "", source)
    )
    stack: list[list[Any]] = [[]]
    for word in words:
        if word == "{":
            inner: list[Any] = []
            stack[-1].append(inner)
            stack.append(inner)
        elif word == "}":
            stack.pop()
            assert stack, "a brace too many"
        else:
            stack[-1].append(word)
    assert len(stack) == 1, "a brace is left open"
    return stack[0]


def headers_set(block: list[Any]) -> set[str]:
    """Return the headers that a block of nginx's file sets itself."""
    return {str(block[place + 1]) for place, word in enumerate(block) if word == "proxy_set_header"}


class TestProxies:
    """What the files say. What the proxies do with them is tested in tests/end_to_end/deploy."""

    def test_nginx_repeats_every_header_in_a_location_that_sets_one(self) -> None:
        [server] = [block for block in blocks(text("nginx.conf")) if isinstance(block, list) and "443" in block]
        everywhere = headers_set(server)
        assert {"Host", "X-Forwarded-For", "X-Forwarded-Proto", "Connection"} <= everywhere
        for location in (block for block in server if isinstance(block, list)):
            assert not headers_set(location) or everywhere <= headers_set(location), location

    def test_nginx_is_more_patient_than_the_life_signs(self) -> None:
        source = text("nginx.conf")
        socket = source.split("location = /apps/buzz/socket {")[1].split("}")[0]
        waits = re.findall(r"proxy_(?:read|send)_timeout (\d+)s;", socket)
        assert len(waits) == 2
        assert min(map(int, waits)) > 2 * HEARTBEAT_SECONDS

    def test_haproxy_is_more_patient_than_the_life_signs(self) -> None:
        source = text("haproxy.cfg")
        for name in ("tunnel", "client", "server"):
            [seconds] = re.findall(rf"timeout {name} +(\d+)s", source)
            assert int(seconds) > 2 * HEARTBEAT_SECONDS, name

    @pytest.mark.parametrize("name", ["nginx.conf", "haproxy.cfg", "Caddyfile"])
    def test_they_have_the_nodes_of_the_compose_file(self, name: str) -> None:
        assert set(re.findall(r"buzz-\d:\d+", text(name))) == set(NODES)

    def test_compose_runs_a_caddy_that_can_do_what_the_caddyfile_asks(self) -> None:
        """Caddy tries another node after an answer of 503 since 2.11."""
        assert TestCompose.SERVICES["caddy"]["image"] == "caddy:2.11"


class TestSystemd:
    UNIT = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    UNIT.optionxform = str  # type: ignore[assignment]
    UNIT.read_string(text("buzz.service"))

    def test_it_runs_as_nobody_special_and_drains(self) -> None:
        service = self.UNIT["Service"]
        assert service["User"] == "buzz"
        assert service["KillSignal"] == "SIGTERM"
        assert int(service["TimeoutStopSec"]) > DRAIN_SECONDS
        assert int(service["LimitNOFILE"]) > Settings.model_fields["max_sessions"].default
        assert service["ExecStart"].endswith("run.py serve")
        assert service["ExecStartPre"].endswith("run.py migrate")
        assert set(re.findall(r"\b(BUZZ_[A-Z_]+)=", service["Environment"])) <= SETTINGS


class TestWatching:
    def test_alerts_are_about_metrics_that_exist_and_say_what_to_do(self) -> None:
        [group] = yaml.safe_load(text("prometheus/alerts.yaml"))["groups"]
        known = listed_metrics()
        assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"]) > 10
        for rule in group["rules"]:
            used = metrics_in(rule["expr"])
            assert used, rule
            assert used <= known, used - known
            assert rule["expr"].count("(") == rule["expr"].count(")")
            assert set(rule["annotations"]) == {"summary", "action"}
            assert rule["labels"]["severity"] in ("page", "ticket")

    def test_the_scraper_has_the_rules_and_the_nodes(self) -> None:
        scraper = yaml.safe_load(text("prometheus/prometheus.yaml"))
        assert scraper["rule_files"] == ["alerts.yaml"]
        assert scraper["scrape_configs"][0]["static_configs"][0]["targets"] == NODES

    def test_prometheus_reads_the_configuration(self) -> None:
        file = DEPLOY / "prometheus" / "prometheus.yaml"
        command = [program("promtool"), "check", "config", "--syntax-only", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr

    def test_the_dashboard_shows_metrics_that_exist(self) -> None:
        board = json.loads(text("grafana/buzz.json"))
        known = listed_metrics()
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        for panel in board["panels"]:
            for target in panel["targets"]:
                used = metrics_in(target["expr"])
                assert used, target
                assert used <= known, used - known
