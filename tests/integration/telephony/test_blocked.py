"""Blocked calls over HTTP: the seed's object, and one call once however often Twilio asks."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import pytest

from protocol.call import message_id
from storage.errors import StorageUnavailable
from storage.telephony.calls import CallStore
from tests.harness.watch import Watch
from tests.integration.telephony.conftest import ANN, BOB, JANE, LOOKUP, Buzz, Clock, open_buzz

TRUST = "/apps/buzz/trust-lookup"


async def ask(buzz: Buzz, token: str = "", **changes: str) -> None:
    headers = {**buzz.service, **({"I-Twilio-Idempotency-Token": token} if token else {})}
    status, _ = await buzz.get(TRUST, headers, **{**LOOKUP, **changes})
    assert status == 200


async def count(buzz: Buzz) -> int:
    """How many calls are stored: one more is made, and when it is listed all before it are."""
    before = len(await buzz.blocked())
    marker = secrets.token_hex(8)
    await ask(buzz, inbound="2125550199", caller_id=marker, CallSid=marker)
    async with asyncio.timeout(60):
        while True:
            found = await buzz.blocked(at_least=before + 1)
            if found[0]["caller_id"] == marker:
                return sum(call["phone_number"] != "2125550199" for call in found)


async def test_the_seeds_object(buzz: Buzz) -> None:
    await ask(buzz, inbound="555-1234", caller_id="Unknown Caller")
    [call] = await buzz.blocked(at_least=1)
    added = {name: call.pop(name) for name in ("call_id", "message_id", "number", "reason", "verified")}
    assert added == {
        "call_id": added["call_id"],
        "message_id": message_id(added["call_id"]),
        "number": "+15551234",
        "reason": "unknown",
        "verified": "none",
    }
    assert call == {
        "id": JANE,
        "caller_id": "Unknown Caller",
        "country_code": "+1",
        "phone_number": "555-1234",
        "created_at": "2024-07-03T09:46:40Z",
    }


async def test_the_latest_hundred_newest_first(buzz: Buzz, clock: Clock) -> None:
    for number in range(103):
        clock.ms += 1_000
        await ask(buzz, inbound=f"212555{number:04}")
    last = f"212555{102:04}"
    async with asyncio.timeout(60):
        while not (found := await buzz.blocked(at_least=100)) or found[0]["phone_number"] != last:
            pass
    assert [call["phone_number"] for call in found] == [f"212555{number:04}" for number in range(102, 2, -1)]


async def test_a_repeated_token_or_call_counts_once(buzz: Buzz, clock: Clock) -> None:
    for later in (0, 1, 20_000, 3_600_000):
        clock.ms += later
        await ask(buzz, token="t1")
        await ask(buzz, CallSid="CA1")
    assert await count(buzz) == 2


async def test_two_calls_of_one_caller_are_two(buzz: Buzz) -> None:
    for number in range(3):
        await ask(buzz, CallSid=f"CA{number}")
    assert await count(buzz) == 3


async def test_a_bare_repeat_counts_once_within_ten_seconds(buzz: Buzz, clock: Clock) -> None:
    for later in (0, 1, 9_998):
        clock.ms += later
        await ask(buzz)
    assert await count(buzz) == 1
    clock.ms += 1
    await ask(buzz)
    assert await count(buzz) == 2


async def test_many_repeats_at_once(buzz: Buzz) -> None:
    await asyncio.gather(*(ask(buzz, CallSid="CA1") for _ in range(20)))
    assert await count(buzz) == 1


async def test_everybody_sees_their_own(buzz: Buzz) -> None:
    await ask(buzz)
    await buzz.blocked(at_least=1)
    assert await buzz.blocked(BOB) == []
    assert await buzz.blocked(ANN) == []


async def test_without_a_persons_token(buzz: Buzz) -> None:
    assert (await buzz.get("/apps/buzz/blocked", {}))[0] == 401
    assert (await buzz.get("/apps/buzz/blocked", buzz.service))[0] == 403


async def test_stopping_stores_what_was_answered(data_dir: Path, clock: Clock) -> None:
    """The answer does not wait for the call to be stored; the stop does."""
    async with open_buzz(data_dir, clock) as buzz:
        await asyncio.gather(*(ask(buzz, CallSid=f"CA{number}") for number in range(50)))
    async with open_buzz(data_dir, clock) as again:
        assert len(await again.blocked()) == 50


async def test_clear_takes_them_away(buzz: Buzz) -> None:
    await ask(buzz)
    await buzz.blocked(at_least=1)
    async with buzz.client.delete("/apps/buzz/clear", headers=buzz.person(JANE)) as response:
        assert response.status == 204
    assert await buzz.blocked() == []


async def test_a_full_disk_costs_the_list_not_the_answer(
    buzz: Buzz, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.expect("calls could not be stored")

    async def refuse(self: CallStore, calls: object) -> None:
        raise StorageUnavailable("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(CallStore, "record", refuse)
        assert await buzz.trust() == {"trusted": False, "user_id": JANE}
        async with asyncio.timeout(60):
            while not watch.log:
                await buzz.blocked()
    await ask(buzz, CallSid="CA1")
    assert await buzz.blocked(at_least=1)
