"""`run.py listen`: a person's frames as they come, one JSON object a line."""

from __future__ import annotations

from typing import Any

from buzz_client import BuzzClient
from server.cli.output import print_json_line, tell


async def listen(url: str, token: str, since: int | None) -> None:
    """Print every frame, across reconnects without a gap or a repeat of activities. Ends only by an error."""

    def show(frame: dict[str, Any]) -> None:
        print_json_line(frame)

    def tell_state(state: dict[str, Any]) -> None:
        if state["state"] == "waiting":
            tell(f"no connection ({state['reason']}), trying again in {state['seconds']:.1f} s")

    buzz = BuzzClient(url, token, since=since, encoding="json", open_timeout_seconds=None, tap=show)
    buzz.on("client.state", tell_state)
    async with buzz:
        # The tap has shown them; taking them keeps the place, so that a reconnect goes on from there.
        async for _ in buzz.activities():
            pass
