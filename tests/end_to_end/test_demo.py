"""The demo: what a development server has in it at its first start, and what `run.py demo` adds to a running one."""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.activity import ActivityType
from server.cli.demo_traffic import talks
from server.node.demo_crowd import COMPANIES, CROWD, MEMBERS
from tests.harness.commands import Server, run_alone, serving
from tests.harness.node import Tokens

JANE, JOHN = 456, 7


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


@pytest.fixture(scope="module")
def server(data_dir: Path) -> Iterator[Server]:
    with serving(data_dir) as started:
        yield started


def get(server: Server, data_dir: Path, person: int, path: str) -> Any:
    token = Tokens(data_dir).person(person)
    request = urllib.request.Request(f"{server.url}/apps/buzz/{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_nothing_looks_empty_at_the_first_start(server: Server, data_dir: Path) -> None:
    conversations = get(server, data_dir, JANE, "conversations")
    assert [(each["party"]["first_name"], each["unread"]) for each in conversations if "as" not in each] == [
        ("Maria", 1),
        ("John", 2),
    ]
    history = get(server, data_dir, JANE, "activity/0")
    assert [each["created_at"] for each in history] == sorted(each["created_at"] for each in history)
    assert history[0]["created_at"] < history[-1]["created_at"][:10], "it began some days ago"
    kinds = {ActivityType[each["type"]].name for each in history}
    assert kinds >= {"chat_message", "chat_reaction_emoji", "chat_read_indicator", "incoming_call_connected_secure"}
    texts = [each["message"] for each in history if each["type"] == "chat_message"]
    assert any("https://" in text for text in texts)
    assert any("\n" in text for text in texts)
    blocked = [call["reason"] for call in get(server, data_dir, JANE, "blocked")]
    assert blocked == ["unknown", "failed_verification", "untrusted_contact"]
    rung = [call for call in get(server, data_dir, JANE, "calls") if call["outcome"] != "blocked"]
    assert [(call["outcome"], call["trusted_by"]) for call in rung] == [
        ("connected_secure", [{"type": "contact", "id": 10}])
    ]
    [request] = get(server, data_dir, JANE, "privacy-requests")
    assert (request["web_form_session"]["first_name"], request["completed"]) == ("Robin", False)
    assert [each["party"]["id"] for each in get(server, data_dir, JOHN, "conversations")] == [JANE, 123]


def test_the_larger_demo_is_sent_to_the_running_server(server: Server, data_dir: Path) -> None:
    before = len(get(server, data_dir, JANE, "blocked"))
    done = run_alone(["demo", "--messages", "60"], data_dir)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20 people sent 60 messages, ")
    assert done.stdout.endswith(f"Sign in as one of them at {server.url}/\n")
    assert done.stderr == "", "there is no progress bar where nobody sees it"
    with urllib.request.urlopen(f"{server.url}/app/sign-in.json", timeout=20) as answer:
        offered = {each["name"] for each in json.load(answer)["demo_people"]}
    assert offered >= set(CROWD.values())
    found = {
        each["id"]: each
        for person in CROWD
        for each in get(server, data_dir, person, "activity/0")
        if each["type"] == "chat_message"
    }
    assert len(found) == 60
    assert len(get(server, data_dir, JANE, "blocked")) == before + 3
    assert len(get(server, data_dir, JANE, "privacy-requests")) == 4
    again = run_alone(["demo", "--messages", "1"], data_dir)
    assert again.returncode == 0, again.stderr


def test_it_needs_a_development_server_that_runs(data_dir: Path, tmp_path: Path) -> None:
    alone = run_alone(["demo"], tmp_path)
    assert alone.returncode == 1
    assert "no server runs on" in alone.stderr
    with serving(tmp_path / "data", mode="--dev") as _:
        key = tmp_path / "data" / "signing-key.pem"
        # In one step: the server reads it once more for the text that it prints after "listening on".
        unmarked = tmp_path / "unmarked.pem"
        unmarked.touch(0o600)
        made = key.read_text()
        unmarked.write_text(made[made.index("-----BEGIN") :])
        unmarked.replace(key)
        refused = run_alone(["demo"], tmp_path / "data")
    assert refused.returncode == 1
    assert "for development servers only" in refused.stderr


def test_talks_have_as_many_lines_as_asked_for_and_members_write_for_companies() -> None:
    for wanted in (1, 7, 200):
        made = list(talks(wanted, random.Random(wanted)))
        assert sum(len(each.lines) for each in made) == wanted
        for each in made:
            assert each.first != each.second
            if each.company is not None:
                assert each.company in COMPANIES
                assert each.second in MEMBERS[each.company]
