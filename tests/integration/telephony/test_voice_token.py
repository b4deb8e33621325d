"""The Twilio access token over HTTP, read by the twilio package's own decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest
from pydantic import ValidationError
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import VoiceGrant

from server.config.settings import Settings
from server.runtime.clock import wall_clock_ms
from tests.fakes.twilio import ACCOUNT
from tests.harness.node import Tokens
from tests.integration.telephony.conftest import JANE, Buzz, Clock, bearer, open_buzz

PATH = "/apps/buzz/voice-token"
KEY, SECRET, APPLICATION, PUSH = (
    "SK" + "1" * 32,
    "a secret of at least thirty-two bytes",
    "AP" + "2" * 32,
    "CR" + "3" * 32,
)
WITH_KEY = {"twilio_account_sid": ACCOUNT, "twilio_api_key_sid": KEY, "twilio_api_key_secret": SECRET}


async def made(buzz: Buzz, headers: dict[str, str]) -> tuple[int, Any]:
    async with buzz.client.post(PATH, headers=headers) as response:
        return response.status, await response.json()


def decoded(token: str, clock: Clock) -> dict[str, Any]:
    """The token's claims, its signature checked by PyJWT; its times are the test's clock's."""
    options: Any = {"verify_exp": False, "verify_nbf": False}
    claims: dict[str, Any] = jwt.decode(token, SECRET, algorithms=["HS256"], options=options)
    assert claims["nbf"] * 1000 == clock.ms
    return claims


async def test_the_token_is_what_twilios_own_package_makes(data_dir: Path, clock: Clock) -> None:
    more = {"twilio_application_sid": APPLICATION, "twilio_push_credential_sid": PUSH}
    async with open_buzz(data_dir, clock, **WITH_KEY, **more) as buzz:
        status, answer = await made(buzz, buzz.person(JANE))
    assert (status, answer["identity"], answer["expires_at"]) == (200, f"person_{JANE}", "2024-07-03T10:46:40Z")
    theirs = AccessToken(ACCOUNT, KEY, SECRET, identity=f"person_{JANE}", nbf=clock.ms // 1000)
    theirs.add_grant(VoiceGrant(incoming_allow=True, outgoing_application_sid=APPLICATION, push_credential_sid=PUSH))
    ours, expected = decoded(answer["token"], clock), jwt.decode(theirs.to_jwt(), options={"verify_signature": False})
    assert set(ours) == set(expected)
    assert ours["grants"] == expected["grants"]
    assert (ours["iss"], ours["sub"]) == (expected["iss"], expected["sub"]) == (KEY, ACCOUNT)
    assert ours["exp"] - ours["nbf"] == 3_600
    assert jwt.get_unverified_header(answer["token"]) == jwt.get_unverified_header(theirs.to_jwt())


async def test_twilios_own_decoder_takes_it(data_dir: Path) -> None:
    async with open_buzz(data_dir, wall_clock_ms, **WITH_KEY) as buzz:
        _, answer = await made(buzz, bearer(Tokens(data_dir).person(JANE)))
    read = AccessToken.from_jwt(answer["token"], SECRET)
    assert read.payload["grants"] == {"identity": f"person_{JANE}", "voice": {"incoming": {"allow": True}}}


async def test_it_ends_with_the_access_token_that_asked_for_it(data_dir: Path, clock: Clock) -> None:
    async with open_buzz(data_dir, clock, **WITH_KEY) as buzz:
        _, answer = await made(buzz, bearer(Tokens(data_dir, clock).person(JANE, 600)))
    claims = decoded(answer["token"], clock)
    assert claims["exp"] - claims["nbf"] == 600


async def test_who_gets_none(buzz: Buzz) -> None:
    assert (await made(buzz, {}))[0] == 401
    assert (await made(buzz, buzz.service))[0] == 403
    status, answer = await made(buzz, buzz.person(JANE))
    assert (status, "no Twilio API key" in answer["error"]["message"]) == (404, True)


@pytest.mark.parametrize("left_out", sorted(WITH_KEY))
def test_half_a_key_stops_the_start(left_out: str) -> None:
    given: dict[str, Any] = {name: value for name, value in WITH_KEY.items() if name != left_out}
    with pytest.raises(ValidationError, match=f"BUZZ_{left_out.upper()}"):
        Settings(**given)
