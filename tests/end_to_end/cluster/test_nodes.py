"""Each node lists all nodes of the cluster, with what they say of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_servers.valkey import ValkeyServer
from server.cluster import nodes
from tests.harness.cluster import open_nodes
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.watch import Watch
from tests.harness.world import World

Listed = list[dict[str, Any]]


async def listed_until(world: World, condition: Callable[[Listed], object]) -> Listed:
    """Ask a node for the list until the condition holds."""
    http = world.http(token=world.tokens.service("admin"))
    async with asyncio.timeout(30):
        while True:
            answer = await http.get("/admin/nodes")
            assert answer.status == 200
            found: Listed = answer.json["nodes"]
            if condition(found):
                return found


async def test_all_nodes_are_listed_until_they_stop(
    watch: Watch,
    peopled_url: str,
    valkey_server: ValkeyServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nodes, "STATE_SECONDS", 0)
    shared = {"bus_namespace": "nodes", "signing_key_file": tmp_path / "one" / "signing-key.pem"}
    async with open_nodes(1, peopled_url, valkey_server.url, tmp_path / "one", **shared) as [one]:
        async with open_nodes(1, peopled_url, valkey_server.url, tmp_path / "two", **shared) as [two]:
            two.tokens = one.tokens  # both check with the first one's key
            bob = await two.join(BOB)
            ack = await bob.post(chat(BOB, JANE))

            def is_told(found: Listed) -> bool:
                return {(each["this_node"], each["sessions"], each["head_id"]) for each in found} == {
                    (True, 0, ack["id"]),
                    (False, 1, ack["id"]),
                }

            found = await listed_until(one, is_told)
            assert {(each["silent_seconds"], each["draining"], each["behind"]) for each in found} == {(0, False, 0)}
            two.node.socket.draining = True
            await listed_until(
                one, lambda found: [each["draining"] for each in found if not each["this_node"]] == [True]
            )
        assert [each["this_node"] for each in await listed_until(one, lambda found: len(found) == 1)] == [True]
