"""Apple over real HTTP/2 with TLS, and Firebase with its OAuth exchange: what is sent, and what each answer changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from protocol.push import PushKind, WakeFor
from server.push.outcome import Wake
from server.runtime.clock import wall_clock_ms
from storage.push.registrations import PushStore
from tests.fakes.apns_service import TOKEN, TOPIC, AppleService, apple_service
from tests.fakes.fcm_service import FirebaseService, firebase_service
from tests.harness.backend import SQLITE
from tests.harness.peer import chat
from tests.harness.people import BOB, JANE
from tests.harness.waiting import until
from tests.harness.world import World

pytestmark = pytest.mark.backends(SQLITE)
APNS = {"kind": "apns", "token": TOKEN, "topic": TOPIC}
VOIP = {"kind": "apns_voip", "token": TOKEN[::-1], "topic": TOPIC}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def apple(tmp_path: Path, authority: trustme.CA) -> AsyncIterator[AppleService]:
    async with apple_service(tmp_path, authority) as service:
        yield service


@pytest.fixture
async def google(authority: trustme.CA) -> AsyncIterator[FirebaseService]:
    async with firebase_service(authority) as service:
        yield service


@pytest.fixture
async def world(
    open_: Any, apple: AppleService, google: FirebaseService, authority: trustme.CA, tmp_path: Path
) -> World:
    ca_file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    credentials = google.write_credentials(tmp_path / "firebase.json")
    opened: World = await open_(
        **apple.settings, push_ca_file=ca_file, push_fcm_credentials_file=credentials, push_fcm_url=google.url
    )
    return opened


async def register(world: World, **fields: Any) -> None:
    answer = await world.http(BOB)("PUT", "/apps/buzz/push", json={"device_id": "phone", **fields})
    assert answer.status == 200, answer.text


async def registered(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await world.http(BOB).get("/apps/buzz/push")).json
    return found


async def tried(world: World, kind: str) -> str:
    """Test a registration, and return how that ended."""
    answer = await world.http(BOB)("POST", "/apps/buzz/push/test", json={"device_id": "phone", "kind": kind})
    assert answer.status == 200
    [result] = answer.json["results"]
    answered, _, meaning = result["detail"].partition(": ")
    assert bool(meaning) == (result["result"] != "accepted"), "what is not accepted has words"
    return f"{result['result']}: {answered}"


async def send(world: World) -> None:
    jane = await world.join(JANE)
    await jane.post(chat(JANE, BOB))


async def test_apple_gets_a_localised_alert_that_the_app_can_change(world: World, apple: AppleService) -> None:
    await register(world, **APNS)
    await register(world, **VOIP)
    await send(world)
    await apple.until(lambda s: len(s.taken) == 1)
    [push] = apple.taken
    assert push.said == {
        "aps": {"alert": {"loc-key": "BUZZ_NEW_MESSAGE"}, "mutable-content": 1, "sound": "default"},
        "v": 1,
        "wake": "message",
    }
    assert push.headers["apns-collapse-id"] == "buzz-message"
    assert await tried(world, "apns") == "accepted: HTTP 200"
    assert len({each.size for each in apple.taken}) == 1
    assert apple.connections == 1


async def test_a_goaway_leaves_the_result_unknown_and_the_retry_has_the_same_id(
    world: World, apple: AppleService
) -> None:
    await register(world, **APNS)
    apple.go_away = 1
    await send(world)
    await apple.until(lambda s: len(s.taken) == 2)
    assert apple.taken[0].headers["apns-id"] == apple.taken[1].headers["apns-id"]
    assert apple.connections == 2
    await until(lambda: world.node.base.metrics.total("buzz_push_apns") == 2)


@pytest.mark.parametrize(("later_ms", "left"), [(3_600_000, 0), (-3_600_000, 1)])
async def test_apple_s_410_deletes_only_what_was_registered_before(
    world: World, apple: AppleService, later_ms: int, left: int
) -> None:
    await register(world, **APNS)
    apple.answer = lambda token: (410, {"reason": "Unregistered", "timestamp": wall_clock_ms() + later_ms})
    await tried(world, "apns")
    assert len(await registered(world)) == left


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ((400, {"reason": "BadDeviceToken"}), "refused: HTTP 400 BadDeviceToken"),
        ((403, {"reason": "InvalidProviderToken"}), "refused: HTTP 403 InvalidProviderToken"),
        ((403, {"reason": "ExpiredProviderToken"}), "unavailable: HTTP 403 ExpiredProviderToken"),
        ((413, {"reason": "PayloadTooLarge"}), "refused: HTTP 413 PayloadTooLarge"),
        ((429, {"reason": "TooManyRequests"}), "unavailable: HTTP 429 TooManyRequests"),
        ((503, {"reason": "Shutdown"}), "unavailable: HTTP 503 Shutdown"),
    ],
)
async def test_what_apple_s_other_answers_mean(
    world: World, apple: AppleService, watch: Any, answer: tuple[int, dict[str, Any]], result: str
) -> None:
    watch.expect("a push service refuses our pushes: check the credentials")
    await register(world, **APNS)
    apple.answer = lambda token: answer
    assert await tried(world, "apns") == result
    assert len(await registered(world)) == 1


async def test_a_topic_must_be_one_of_the_operator_s(world: World) -> None:
    body = {"device_id": "phone", **APNS, "topic": "example.other"}
    answer = await world.http(BOB)("PUT", "/apps/buzz/push", json=body)
    assert (answer.status, "'topic'" in answer.message) == (400, True)


async def test_firebase_gets_data_by_one_token_of_oauth(world: World, google: FirebaseService) -> None:
    await register(world, kind="fcm", token="fcm-token")
    await send(world)
    await google.until(lambda s: len(s.taken) == 1)
    assert await tried(world, "fcm") == "accepted: HTTP 200"
    assert google.taken[0] == {
        "token": "fcm-token",
        "data": {"v": "1", "wake": "message"},
        "android": {"priority": "HIGH", "ttl": "2419200s", "collapse_key": "buzz-message"},
    }
    assert (google.exchanges, len(google.sizes)) == (1, 1)


async def test_after_a_push_to_apple_one_to_firebase_still_speaks_http_1(world: World, google: FirebaseService) -> None:
    await register(world, **APNS)
    await register(world, kind="fcm", token="fcm-token")
    assert await tried(world, "apns") == "accepted: HTTP 200"
    assert await tried(world, "fcm") == "accepted: HTTP 200"


async def test_a_token_of_oauth_that_is_refused_is_exchanged_anew(world: World, google: FirebaseService) -> None:
    await register(world, kind="fcm", token="fcm-token")
    assert await tried(world, "fcm") == "accepted: HTTP 200"
    google.valid.clear()
    assert await tried(world, "fcm") == "accepted: HTTP 200"
    assert google.exchanges == 2


@pytest.mark.parametrize(
    ("status", "error", "result", "left"),
    [
        (404, {"status": "NOT_FOUND", "details": [{"errorCode": "UNREGISTERED"}]}, "gone: HTTP 404 UNREGISTERED", 0),
        (400, {"status": "INVALID_ARGUMENT"}, "refused: HTTP 400 INVALID_ARGUMENT", 1),
        (403, {"details": [{"errorCode": "SENDER_ID_MISMATCH"}]}, "refused: HTTP 403 SENDER_ID_MISMATCH", 1),
        (429, {"status": "RESOURCE_EXHAUSTED"}, "unavailable: HTTP 429 RESOURCE_EXHAUSTED", 1),
        (503, {"status": "UNAVAILABLE"}, "unavailable: HTTP 503 UNAVAILABLE", 1),
    ],
)
async def test_what_firebase_s_answers_mean(
    world: World, google: FirebaseService, watch: Any, status: int, error: dict[str, Any], result: str, left: int
) -> None:
    watch.expect("a push service refuses our pushes: check the credentials")
    await register(world, kind="fcm", token="fcm-token")
    google.answer = lambda token: (status, {"error": error})
    assert await tried(world, "fcm") == result
    assert len(await registered(world)) == left


async def test_a_call_wakes_by_voip_and_the_other_devices_as_they_can(
    world: World, apple: AppleService, google: FirebaseService
) -> None:
    await register(world, **APNS)
    await register(world, **VOIP)
    await register(world, device_id="android", kind="fcm", token="fcm-token")
    world.node.push.urgent.ring(BOB, "CA1")
    await apple.until(lambda s: len(s.taken) == 1)
    await google.until(lambda s: len(s.taken) == 1)
    [push] = apple.taken
    assert (push.headers["apns-push-type"], push.said["wake"]) == ("voip", "call")
    assert int(push.headers["apns-expiration"]) - wall_clock_ms() // 1_000 <= 30
    assert google.taken[0]["android"]["ttl"] == "30s"
    await until(lambda: not len(world.node.push.urgent._tasks))
    assert len(apple.taken) == 1


async def test_an_id_is_the_same_for_each_attempt_and_another_for_the_next_push(world: World) -> None:
    await register(world, **APNS)
    [row] = await PushStore(world.node.database).of_person(BOB)
    assert row.kind == PushKind.APNS
    first = Wake(row, WakeFor.MESSAGE, 5)
    assert first.id == Wake(row._replace(attempts=1, failures=1), WakeFor.MESSAGE, 5).id
    assert first.id != Wake(row._replace(unanswered=1), WakeFor.MESSAGE, 5).id != Wake(row, WakeFor.MESSAGE, 6).id
