"""The command `run.py chat`: a conversation at a terminal, over the client library."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from buzz_client import Ack, BuzzClient, FrameTooLarge, HttpError, Party, SendRefused, SessionEnded
from server.cli.conversation import HELP, Help, Intent, Quit, React, Read, Say, Transcript, intent
from server.cli.errors import CommandError
from server.cli.screen import Screen
from server.cli.sealing import Sealer
from server.cli.stopping import first_to_end

_TYPING_EVERY_SECONDS = 2.0
_TYPING_SHOWN_SECONDS = 4.0
_MAX_UNSENT = 100
# At the end, time for the last own messages to come back through the log and be shown.
_LAST_ENTRIES_SECONDS = 5.0
_NOT_ENCRYPTED = (
    "Messages are NOT encrypted: this is a demo client, and the server sees what you write. "
    "Start both sides with the same --passphrase to encrypt."
)


@dataclass(frozen=True, slots=True)
class TalkOptions:
    """The options of the command line. ``sender`` is a company to write as; ``history`` a number of activities."""

    url: str
    token: str
    to: Party
    sender: Party | None
    passphrase: str | None
    history: int
    auto_read: bool


async def talk(options: TalkOptions, screen: Screen, *, tolerant: bool) -> None:
    """Talk until the input ends or ``/quit``.

    Raises BuzzError if the session cannot continue, and CommandError at the end if a line could not be done, unless
    ``tolerant``: a person at a terminal has seen that and may have tried again.
    """
    buzz = BuzzClient(options.url, options.token, open_timeout_seconds=None)
    connection = _ConnectionNotes(screen)
    buzz.on("client.state", connection.changed)
    async with buzz:
        me = options.sender or Party("person", buzz.welcome.person_id)
        # Deriving the key takes a tenth of a second, so not in the event loop.
        sealer = await asyncio.to_thread(Sealer, options.passphrase, str(me), str(options.to))
        screen.note("ready", f"You are {me}, talking with {options.to}. /help shows the commands.")
        if not sealer.encrypts:
            screen.note("warning", _NOT_ENCRYPTED)
        running = Talk(buzz, Transcript(me, options.to, sealer), screen, options)
        await running.run()
    if running.failures and not tolerant:
        raise CommandError(f"{running.failures} of the lines could not be done.")


class Talk:
    """One running chat: shows what arrives, sends what is typed, in order."""

    def __init__(self, buzz: BuzzClient, conversation: Transcript, screen: Screen, options: TalkOptions) -> None:
        self._buzz = buzz
        self._conversation = conversation
        self._screen = screen
        self._options = options
        self.failures = 0
        """How many lines could not be done."""
        self._to_do: asyncio.Queue[Intent] = asyncio.Queue(_MAX_UNSENT)
        self._shown = asyncio.Event()
        self._last_sent_id = 0
        self._typing_told_at = 0.0
        self._typing_shown: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Run until the input ends."""
        self._buzz.on("typing", self._on_typing)
        await self._show_history()
        await first_to_end(self._receive(), self._send_in_order(), self._type())

    async def _show_history(self) -> None:
        """Show the newest activities from before the session; later ones arrive live."""
        if not self._options.history:
            return
        before = self._buzz.welcome.head_id + 1
        try:
            page = await self._buzz.http.activities_before(
                before, limit=self._options.history, party=self._conversation.to
            )
        except (HttpError, OSError) as error:
            self._screen.note("warning", f"cannot load the history now: {error}")
            return
        for activity in reversed(page.activities):
            self._show(activity)

    async def _receive(self) -> None:
        async for activity in self._buzz.activities():
            self._show(activity)

    def _show(self, activity: Any) -> None:
        entry = self._conversation.take(activity)
        if entry is None:
            return
        if not entry.mine:
            self._show_typing(None)
        self._screen.entry(entry)
        self._shown.set()
        if self._options.auto_read and entry.kind == "message" and not entry.mine:
            with suppress(asyncio.QueueFull):
                self._to_do.put_nowait(Read(entry.about))

    async def _type(self) -> None:
        async for line in self._screen.lines(self._on_key):
            wish = intent(line)
            match wish:
                case Quit():
                    break
                case Help(None):
                    self._screen.note("help", HELP)
                case Help(str(mistake)):
                    self._fail(f"{mistake}\n{HELP}")
                case Say() | React() | Read():
                    await self._to_do.put(wish)
        await self._to_do.join()
        await self._until_shown()

    async def _until_shown(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ENTRIES_SECONDS):
                while self._conversation.newest_id < self._last_sent_id:
                    self._shown.clear()
                    await self._shown.wait()

    async def _send_in_order(self) -> None:
        while True:
            wish = await self._to_do.get()
            try:
                if (ack := await self._do(wish)) is not None:
                    self._last_sent_id = ack.id
            except SessionEnded:
                raise
            except (SendRefused, FrameTooLarge, ValueError) as error:
                self._fail(f"not sent: {error}")
            finally:
                self._to_do.task_done()

    async def _do(self, wish: Intent) -> Ack | None:
        if not isinstance(wish, Say):
            await self._until_shown()  # the message that it refers to may not have come back yet
        match wish:
            case Say(text):
                message_id = str(uuid.uuid4())
                sealed = self._conversation.seal(text, "chat_message", message_id)
                return await self._buzz.send_message(
                    self._conversation.to, sealed, message_id=message_id, sender=self._conversation.me
                )
            case React(number, emoji) if (about := self._known(number)) is not None:
                sealed = self._conversation.seal(emoji, "chat_reaction_emoji", about)
                return await self._buzz.react(self._conversation.to, about, sealed, sender=self._conversation.me)
            case Read(number) if (about := self._known(number)) is not None:
                return await self._buzz.mark_read(self._conversation.to, about, sender=self._conversation.me)
        return None

    def _known(self, number: int | None) -> str | None:
        message_id = self._conversation.message_id(number)
        if message_id is None:
            what = f"message {number}" if number is not None else "message from them yet"
            self._fail(f"there is no {what}")
        return message_id

    def _fail(self, why: str) -> None:
        self.failures += 1
        self._screen.note("error", why)

    def _on_key(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._typing_told_at >= _TYPING_EVERY_SECONDS:
            self._typing_told_at = now
            self._buzz.typing(self._conversation.to)

    def _on_typing(self, data: dict[str, Any]) -> None:
        by = data.get("from") or {}
        if (by.get("type"), by.get("id")) == (self._conversation.to.kind, self._conversation.to.id):
            self._show_typing(self._conversation.to_name)

    def _show_typing(self, name: str | None) -> None:
        if self._typing_shown is not None:
            self._typing_shown.cancel()
            self._typing_shown = None
        elif name is None:
            return
        self._screen.typing(name)
        if name is not None:
            loop = asyncio.get_running_loop()
            self._typing_shown = loop.call_later(_TYPING_SHOWN_SECONDS, self._show_typing, None)


class _ConnectionNotes:
    """Shows a lost connection and a new one, once each."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._away = False

    def changed(self, state: dict[str, Any]) -> None:
        """Handle a ``client.state`` event."""
        if state["state"] == "waiting" and not self._away:
            self._away = True
            self._screen.note("reconnecting", f"… no connection ({state['reason']}), reconnecting", **state)
        elif state["state"] == "live" and self._away:
            self._away = False
            self._screen.note("connected", "… connected again, no message was lost", **state)
