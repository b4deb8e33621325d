"""A call to the privacy line, as Twilio reports it."""

from __future__ import annotations

from typing import Any

from tests.fakes.privacy_buzz import Buzz
from tests.fakes.twilio import attributes, call

LINE = "/twilio/privacy-line"
RECORDING, TRANSCRIPTION = "RE" + "a" * 32, "TR" + "b" * 32


class Caller:
    """Twilio's side of one call."""

    def __init__(self, buzz: Buzz, sid: str = "CA" + "1" * 32) -> None:
        self.buzz = buzz
        self.sid = sid

    async def post(self, path: str, **more: str) -> str:
        status, answer = await self.buzz.twilio(path, call(self.sid, **more))
        assert status in (200, 204), answer
        return answer

    async def dial(self, digits: str = "2") -> dict[str, Any]:
        """Enter the code; returns the attributes of the <Record> that follows."""
        return attributes(await self.post(f"{LINE}/code?attempt=1", Digits=digits), "Record")

    async def recorded(self, status: str = "completed", sid: str = RECORDING) -> None:
        await self.post(
            f"{LINE}/recording?code=2",
            RecordingSid=sid,
            RecordingStatus=status,
            RecordingUrl=f"https://elsewhere.example/{sid}",
        )

    async def transcribed(self, status: str = "completed", text: str = "Hello world!") -> None:
        await self.post(
            f"{LINE}/transcription?code=2",
            TranscriptionStatus=status,
            TranscriptionText=text,
            TranscriptionSid=TRANSCRIPTION,
        )

    async def hung_up(self, status: str = "completed", path: str = f"{LINE}/status?code=2") -> None:
        await self.post(path, CallStatus=status, CallDuration="9")

    async def ended(self) -> None:
        await self.post(f"{LINE}/ended?code=2", RecordingDuration="7")
