"""`run.py listen`: print a person's frames as they arrive, one JSON object a line."""

from __future__ import annotations

from typing import Any

from buzz_client import BuzzClient
from server.cli.output import print_json_line, tell
from server.cli.unreachable import ConnectionNotes


async def listen(url: str, token: str, since: int | None) -> None:
    """Print every frame. After a reconnect no activity is missing or repeated. Ends only with an error."""

    def show(frame: dict[str, Any]) -> None:
        print_json_line(frame)

    def note(_kind: str, text: str, **_facts: Any) -> None:
        tell(text)

    buzz = BuzzClient(url, token, since=since, encoding="json", open_timeout_seconds=None, tap=show)
    buzz.on("client.state", ConnectionNotes(note, url).changed)
    async with buzz:
        # The tap has printed them; reading them moves the cursor, so that a reconnect continues from there.
        async for _ in buzz.activities():
            pass
