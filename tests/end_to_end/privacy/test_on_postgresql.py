"""A privacy request with PostgreSQL behind it: form, voicemail, members, events out and in, erasure."""

from __future__ import annotations

from pathlib import Path

from storage.postgresql.database import PostgresDatabase
from tests.fakes.privacy_buzz import ACME, JANE, Clock, event, fill, open_buzz
from tests.fakes.twilio import ACCOUNT, MP3, Twilio, call
from tests.fakes.webhook_receiver import Receiver

LINE = "/twilio/privacy-line"
RECORDING = "RE" + "d" * 32
PATH = "/apps/buzz/privacy-requests"


async def test_from_the_form_to_erasure(postgres_url: str, tmp_path: Path, clock: Clock, twilio: Twilio) -> None:
    twilio.recordings[RECORDING] = MP3
    database = await PostgresDatabase.open(postgres_url)
    await fill(database)
    await database.close()
    receiver = await Receiver().start()
    account = {"twilio_account_sid": ACCOUNT, "twilio_api_url": twilio.url}
    async with open_buzz(tmp_path / "data", clock, database_url=postgres_url, **account) as buzz:
        keys = await buzz.endpoint(receiver.url)
        receiver.api_key = keys["api_key"]
        async with buzz.live(JANE) as jane:
            form = await buzz.submit()
            assert (await event(jane))[1]["id"] == form
            await buzz.twilio(f"{LINE}/code?attempt=1", call(Digits="57"))
            name, voicemail = await event(jane)
            assert (name, voicemail["type"]) == ("privacy_request.received", "Voicemail")
            await buzz.twilio(f"{LINE}/recording?code=57", call(RecordingSid=RECORDING, RecordingStatus="completed"))
            assert (await event(jane))[1]["call_session"]["recording_status"] == "completed"
            status, _ = await buzz.ask("PATCH", f"{PATH}/{form}", buzz.person(JANE), json={"completed": True})
            assert status == 200
            assert (await event(jane))[1]["completed"] is True
        await receiver.wait_for(4)
        status, listed = await buzz.ask("GET", PATH, buzz.person(JANE), params={"since": "2020-03-14T18:44:40Z"})
        assert (status, {one["id"] for one in listed}) == (200, {form, voicemail["id"]})
        async with buzz.client.get(f"{PATH}/{voicemail['id']}/recording.mp3", headers=buzz.person(JANE)) as response:
            assert await response.read() == MP3

        body = {"company_id": ACME, "api_key": keys["api_key"]}
        source = await buzz.ask_admin("POST", "/admin/webhook-sources", body)
        path = source["url"].removeprefix("https://buzz.example")
        status, answer = await buzz.ask("POST", path, json=receiver.received[0])
        assert (status, answer) == (200, {"result": "unchanged"}), "it came from here"
        assert (await buzz.ask("POST", path, json=receiver.received[0]))[0] == 409

        await buzz.ask_admin("POST", f"/admin/privacy-requests/{form}/erase")
        erased = await buzz.ask_admin("GET", f"/admin/privacy-requests/{form}")
        assert (erased["web_form_session"]["first_name"], erased["completed"]) == ("", True)
        assert [one["action"] for one in erased["audit"]] == ["received", "changed", "erased"]
        test = await buzz.ask_admin("POST", f"/admin/webhook-endpoints/{keys['id']}/test")
        assert test["status"] == "pending"
        await buzz.settled()
    await receiver.close()
