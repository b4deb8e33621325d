"""A node with data for an operator: sessions, a failing webhook, privacy requests of every age, numbers.

Two months pass in it, by a clock that the test sets and that then follows the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.runtime.clock import wall_clock_ms
from tests.fakes.webhook_receiver import Receiver
from tests.harness.http import Http
from tests.harness.peer import chat
from tests.harness.people import ACME, BOB, JANE
from tests.harness.world import World, open_world

DAY_MS = 86_400_000
CONSUMERS = (
    # name, days ago, what is done about it
    ("Ada", "Overdue", 60, {}),
    ("Ben", "Extended", 50, {"acknowledged": True, "extended": True}),
    ("Cleo", "Soon", 41, {"acknowledged": True}),
    ("Dan", "Done", 20, {"acknowledged": True, "completed": True}),
    ("Eve", "New", 1, {}),
)


class TurnedClock:
    """The real clock, set back by some days."""

    def __init__(self) -> None:
        self.days_ago = 0

    def __call__(self) -> int:
        return wall_clock_ms() - self.days_ago * DAY_MS


@dataclass
class Scene:
    """The node and its data."""

    world: World
    receiver: Receiver
    endpoint_id: int

    @property
    def url(self) -> str:
        return self.world.url

    @property
    def token(self) -> str:
        return self.world.tokens.service("admin")

    @property
    def admin(self) -> Http:
        return self.world.http(token=self.token)

    async def deliveries(self, status: str) -> list[dict[str, Any]]:
        answer = await self.admin.get(f"/admin/webhook-deliveries?status={status}")
        found: list[dict[str, Any]] = answer.json
        return found


@asynccontextmanager
async def open_scene(data_dir: Path) -> AsyncIterator[Scene]:
    """Build the scene.

    The receiver refuses everything until a test changes that, and nothing is retried automatically.
    """
    clock = TurnedClock()
    receiver = await Receiver().start()
    receiver.status = 503
    try:
        async with open_world(data_dir, clock, webhook_retry_seconds=(), privacy_forms_per_minute=1_000) as world:
            admin = world.http(token=world.tokens.service("admin"))
            code = {"code": "57", "name": "Privacy line", "company_id": ACME}
            assert (await admin("POST", "/admin/service-codes", json=code)).status == 201
            endpoint = {"company_id": ACME, "url": receiver.url}
            made = (await admin("POST", "/admin/webhook-endpoints", json=endpoint)).json
            for first, last, days_ago, done in CONSUMERS:
                clock.days_ago = days_ago
                await _ask(world, first, last, done)
                await _settled(world)
            clock.days_ago = 0
            scene = Scene(world, receiver, made["id"])
            await scene.admin("POST", "/admin/numbers", json={"numbers": [f"+1238555{n}" for n in range(1629, 1635)]})
            await _talk(world)
            yield scene
    finally:
        await receiver.close()


async def _ask(world: World, first: str, last: str, done: dict[str, bool]) -> None:
    form = {"first_name": first, "last_name": last, "email": f"{first.lower()}@example.com", "state": "CA",
            "requester_type": "Consumer", "delete_me": "true", "do_not_sell": "true"}  # fmt: skip
    taken = await world.http()("POST", "/privacy-requests/57", json=form)
    assert taken.status == 201, taken.body
    if done:
        admin = world.http(token=world.tokens.service("admin"))
        changed = await admin("PATCH", f"/admin/privacy-requests/{taken.json['id']}", json=done)
        assert changed.status == 200, changed.body


async def _settled(world: World) -> None:
    """Wait until no webhook is being sent, because the clock must not change meanwhile."""
    admin = world.http(token=world.tokens.service("admin"))
    async with asyncio.timeout(60):
        while (await admin.get("/admin/webhook-deliveries?status=pending")).json:
            pass


async def _talk(world: World) -> None:
    """Connect Jane on two devices and Bob, and send one message that all three receive."""
    phone = await world.join(JANE, device_id="jane-phone")
    desk = await world.join(JANE, device_id="jane-desk")
    bob = await world.join(BOB, device_id="bob-phone")
    sent = await phone.post(chat(JANE, BOB))
    for each in (phone, desk, bob):
        await each.until_ids(sent["id"])
    world.node.trends.sample()
