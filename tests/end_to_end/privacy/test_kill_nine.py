"""A real process, killed while a webhook is under way: the next one goes on at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

from tests.fakes.privacy_buzz import ACME, CODE, FORM
from tests.fakes.webhook_receiver import Receiver
from tests.harness.node import Tokens, node_process
from tests.harness.people import copy_directory


async def post(url: str, headers: dict[str, str], body: Any) -> Any:
    async with ClientSession() as client, client.post(url, headers=headers, json=body) as response:
        assert response.status < 300, await response.text()
        return await response.json()


async def test_what_was_under_way_is_sent_again(template: Path, tmp_path: Path) -> None:
    data_dir = copy_directory(template, tmp_path / "data")
    receiver = await Receiver().start()

    dead = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await dead.wait()
        return web.Response()

    receiver.behave = hang
    async with node_process(data_dir) as node:
        admin = {"Authorization": f"Bearer {Tokens(data_dir).service('admin')}"}
        await post(f"{node.url}/admin/webhook-endpoints", admin, {"company_id": ACME, "url": receiver.url})
        made = await post(f"{node.url}/privacy-requests/{CODE}", {}, FORM)
        await receiver.wait_for_arrivals(1)
        await node.kill()
    assert receiver.received == []
    receiver.behave = None
    dead.set()
    async with node_process(data_dir):
        (event,) = await receiver.wait_for(1)
        assert (event["id"], event["event_name"]) == (made["id"], "privacy_request.received")
    first, second = receiver.headers
    assert first["webhook-id"] == second["webhook-id"], "the receiver can tell that it is the same event"
    await receiver.close()
