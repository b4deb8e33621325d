"""A bot: it answers every message that its person gets, and goes on after a crash where it was.

BUZZ_URL=http://127.0.0.1:8080 BUZZ_TOKEN=… python bot.py bot-state
BUZZ_URL=http://127.0.0.1:8080 BUZZ_TOKEN=… python bot.py bot-state --encrypted

The folder has the position in the log, and with ``--encrypted`` the device's keys. ``--accept`` accepts new devices of
those who write: a bot has nobody who looks at them. Without it a message from such a device is not answered.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import uuid
from pathlib import Path

from buzz_client import Activity, BuzzClient, FileCursor, Party, SessionEnded
from buzz_client.encryption import FileKeys, SealedMessages, SealingRefused

LOG = logging.getLogger("bot")


class Bot:
    """Answers what one person gets. ``sealed``: the encryption, if there is one."""

    def __init__(self, buzz: BuzzClient, sealed: SealedMessages | None, *, accept: bool) -> None:
        self._buzz = buzz
        self._sealed = sealed
        self._accept = accept

    async def run(self) -> None:
        """Answer until the session ends."""
        me = Party("person", self._buzz.welcome.person_id)
        if self._sealed is not None:
            await self._sealed.ready.wait()
            if not self._sealed.me.linked:
                LOG.warning("this device is not linked: link it on another one, or others have to accept it")
        LOG.info("person %s is listening", me.id)
        async for activity in self._buzz.activities():
            # What the bot sends is in its own log too. What is for a company of this person is left to others.
            if activity.type == "chat_message" and activity.receiver == me and activity.sender != me:
                await self._answer(activity)

    async def _answer(self, activity: Activity) -> None:
        said = activity.message
        if self._sealed is not None:
            activity = await self._opened(self._sealed, activity)
            if activity.unopened is not None:
                LOG.warning("message %s is not answered: %s", activity.id, activity.unopened.explanation)
                return
            said = activity.text
        # The same id for the same message: after a crash between the answer and the next activity it is stored once.
        answer_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"answer to {activity.message_id}"))
        try:
            await self._buzz.send_message(activity.sender, f"you wrote: {said}", message_id=answer_id)
        except SealingRefused as error:
            LOG.warning("message %s is not answered: %s", activity.id, error)
            return
        if activity.message_id is not None:
            await self._buzz.mark_read(activity.sender, activity.message_id)

    async def _opened(self, sealed: SealedMessages, activity: Activity) -> Activity:
        """Return the activity, with its text if it can be read once the sender's new devices are accepted."""
        if not self._accept or activity.sender.kind != "person":
            return activity
        sender = await sealed.look_up(activity.sender.id)
        waiting = sender.waiting if sender is not None else ()
        for device in waiting:
            LOG.info("accepted %r of %s", device.device_id, activity.sender)
            sealed.accept(activity.sender.id, device.tag)
        return await sealed.open(activity) if waiting and activity.unopened is not None else activity


async def main() -> None:
    """Run the bot until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="Answer every message of a person.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("bot-state"), help="where the bot's state is kept")
    parser.add_argument("--encrypted", action="store_true", help="seal and open messages end to end")
    parser.add_argument("--accept", action="store_true", help="accept new devices of those who write")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")  # shows the library's warnings too, for example of a wrong address
    LOG.setLevel(logging.INFO)
    options.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    sealed = SealedMessages(FileKeys(options.folder / "keys")) if options.encrypted else None
    buzz = BuzzClient(
        os.environ.get("BUZZ_URL", "http://127.0.0.1:8080"),
        os.environ["BUZZ_TOKEN"],
        device_id="bot",
        cursor=FileCursor(options.folder / "position.json"),
        encryption=sealed,
    )
    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    try:
        async with buzz:
            await Bot(buzz, sealed, accept=options.accept).run()
    except asyncio.CancelledError:
        pass
    except SessionEnded as error:
        sys.exit(f"the session has ended: {error}")


if __name__ == "__main__":
    asyncio.run(main())
