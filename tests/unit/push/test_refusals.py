"""Which refusals of push services are shown to operators: those of our credentials, not one person's bad address."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from server.push.outcome import PushAnswer, PushResult
from server.push.overview import FEW, PushRefusals, PushRefused
from storage.push.registrations import Registration

FORBIDDEN = PushAnswer(PushResult.REFUSED, "HTTP 403")
BAD_TOKEN = PushAnswer(PushResult.REFUSED, "HTTP 400 BadDeviceToken", of_device=True)


def row(kind: str, person: int = 1) -> Registration:
    values = dict.fromkeys(Registration._fields, 0)
    return Registration(**{**values, "person_id": person, "kind": kind})  # type: ignore[arg-type]


async def test_bad_addresses_of_devices_are_logged_once_and_nobody_is_told_to_check_the_credentials() -> None:
    refusals = PushRefusals(lambda: 5)
    with capture_logs() as logs:
        for person in range(100):
            refusals.refused(row("apns", person), BAD_TOKEN)
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert refusals.newest == {}
    await refusals.check()


async def test_refused_credentials_are_shown_until_a_push_is_accepted() -> None:
    refusals = PushRefusals(lambda: 5)
    with capture_logs() as logs:
        for _ in range(3):
            refusals.refused(row("fcm"), FORBIDDEN)
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert refusals.newest == {"fcm": ("HTTP 403", 5)}
    with pytest.raises(PushRefused, match="fcm: HTTP 403"):
        await refusals.check()
    refusals.accepted("fcm")
    await refusals.check()


async def test_one_person_s_own_push_service_does_not_alarm_operators() -> None:
    refusals = PushRefusals(lambda: 5)
    for _ in range(50):
        refusals.refused(row("webpush"), FORBIDDEN)
    await refusals.check()
    for person in range(FEW):
        refusals.refused(row("webpush", person), FORBIDDEN)
    with pytest.raises(PushRefused):
        await refusals.check()
    refusals.accepted("webpush")  # another service's answer says nothing of this one
    with pytest.raises(PushRefused):
        await refusals.check()
