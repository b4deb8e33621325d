"""The command `run.py chat`: a conversation at a terminal, over the client library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from buzz_client import (
    Ack,
    Activity,
    Backoff,
    BuzzClient,
    FrameTooLarge,
    HttpError,
    NotTheProtocol,
    Party,
    SendRefused,
    SessionEnded,
    TokenRefused,
)
from buzz_client.address import Address
from buzz_client.encryption import KeysChanged, NoReaders, SealingRefused
from buzz_client.failures import why_no_answer
from buzz_client.http import BuzzHttp
from buzz_client.tokens import Tokens
from server.cli.chat_devices import CommandFailed, DeviceCommands
from server.cli.chat_keys import ChatKeys, usual_path
from server.cli.conversation import HELP, DeviceCommand, Help, Intent, Quit, React, Read, Say, Transcript, intent
from server.cli.errors import CommandError
from server.cli.screen import Screen
from server.cli.stopping import first_to_end
from server.cli.unreachable import ConnectionNotes, in_words, no_connection

_TYPING_EVERY_SECONDS = 2.0
_TYPING_SHOWN_SECONDS = 4.0
_MAX_UNSENT = 100
# At the end, time for the last own messages to come back through the log and be shown.
_LAST_ENTRIES_SECONDS = 5.0
# A line that is not stored by then is shown as waiting.
_SHOW_WAITING_SECONDS = 1.5
_NOT_ENCRYPTED = "Messages are NOT encrypted (--plain): the server sees what you write."
_ENCRYPTED = "Messages are encrypted between your devices and theirs. /safety shows the safety number to compare."


@dataclass(frozen=True, slots=True)
class TalkOptions:
    """The options of the command line. ``sender`` is a company to write as; ``history`` a number of activities."""

    url: str
    token: str
    to: Party
    sender: Party | None
    keys: Path | None
    plain: bool
    history: int
    auto_read: bool


async def talk(options: TalkOptions, screen: Screen, *, tolerant: bool) -> None:
    """Talk until the input ends or ``/quit``.

    Raises BuzzError if the session cannot continue, and CommandError at the end if a line could not be done, unless
    ``tolerant``: a person at a terminal has seen that and may have tried again.
    """
    async with _keys(options, screen) as keys:
        sealed = {} if keys is None else {"cursor": keys, "device_id": keys.device_id, "encryption": keys.sealed}
        buzz = BuzzClient(options.url, options.token, open_timeout_seconds=None, **sealed)  # type: ignore[arg-type]
        buzz.on("client.state", ConnectionNotes(screen.note, options.url).changed)
        async with buzz:
            me = options.sender or Party("person", buzz.welcome.person_id)
            screen.note("ready", f"You are {me}, talking with {options.to}. /help shows the commands.")
            if keys is None:
                screen.note("warning", _NOT_ENCRYPTED)
            running = Talk(buzz, Transcript(me, options.to), screen, options, keys)
            await running.run()
    if running.failures and not tolerant:
        raise CommandError(f"{running.failures} of the lines could not be done.")


@asynccontextmanager
async def _keys(options: TalkOptions, screen: Screen) -> AsyncIterator[ChatKeys | None]:
    if options.plain:
        yield None
        return
    path = options.keys or usual_path(options.url, await person_of(options, screen))
    keys = ChatKeys(path)
    try:
        yield keys
    finally:
        keys.close()


async def person_of(options: TalkOptions, screen: Screen) -> int:
    """Return whose token it is, as soon as the server answers.

    Raises TokenRefused if it refuses the token, NotTheProtocol if it refuses the request for another reason that stays.
    """
    backoff, said = Backoff(), ""
    async with BuzzHttp(Address.parse(options.url), Tokens(options.token)) as http:
        while True:
            try:
                return (await http.me())["id"]
            except HttpError as error:
                if error.status in (401, 403):
                    refusal = f"refused with HTTP {error.status}: {error.message}"
                    raise TokenRefused(f"the token was not accepted ({refusal})") from error
                if error.status != 429 and error.status < 500:
                    raise NotTheProtocol(f"no Buzz server at {options.url} ({error}); check the URL") from error
                why = str(error)
            except (aiohttp.ClientError, TimeoutError) as error:
                why = why_no_answer(error)
            if why != said:
                said = why
                screen.note("reconnecting", f"{no_connection(options.url, why)} Trying again; Ctrl-C ends")
            await asyncio.sleep(backoff.next_seconds())


class Talk:
    """One running chat: shows what arrives, sends what is typed, in order."""

    def __init__(
        self, buzz: BuzzClient, conversation: Transcript, screen: Screen, options: TalkOptions, keys: ChatKeys | None
    ) -> None:
        self._buzz = buzz
        self._keys = keys
        self._devices = DeviceCommands(buzz, keys.sealed, conversation.to, screen.note) if keys else None
        self._conversation = conversation
        self._screen = screen
        self._options = options
        self.failures = 0
        """How many lines could not be done."""
        self._to_do: asyncio.Queue[Intent] = asyncio.Queue(_MAX_UNSENT)
        self._shown = asyncio.Event()
        self._last_sent_id = 0
        self._unsent = 0
        self._typing_told_at = 0.0
        self._typing_shown: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Run until the input ends."""
        self._buzz.on("typing", self._on_typing)
        if self._devices is not None:
            self._buzz.on("encryption.person", self._devices.warn)
            self._buzz.on("encryption.link_code", self._on_link_code)
            self._buzz.on("encryption.linked", self._on_linked)
            self._buzz.on("encryption.link_ended", self._on_link_ended)
        await self._show_history()
        try:
            await first_to_end(self._receive(), self._send_in_order(), self._type(), self._say_encrypted())
        except asyncio.CancelledError:
            if self._unsent:
                self._screen.note("error", f"{self._unsent} of the lines were not sent.")
            raise

    async def _show_history(self) -> None:
        """Show the newest activities from before the session; later ones arrive live."""
        if not self._options.history:
            return
        # With keys, what is newer than the stored position arrives live, and is opened then.
        place = self._keys.load() if self._keys else None
        before = (place.last_activity_id if place else self._buzz.welcome.head_id) + 1
        try:
            page = await self._buzz.http.activities_before(
                before, limit=self._options.history, party=self._conversation.to
            )
        except (HttpError, aiohttp.ClientError, OSError) as error:
            self._screen.note("warning", f"cannot load the history now: {in_words(error)}")
            return
        for activity in reversed(page.activities):
            self._show(self._as_read_before(activity))

    def _as_read_before(self, activity: Activity) -> Activity:
        if self._keys is None or activity.message is None:
            return activity
        text = self._keys.text_of(activity.id)
        if text is not None:
            return replace(activity, text=text)
        return replace(activity, unopened=self._keys.why_not(activity))

    async def _receive(self) -> None:
        async for activity in self._buzz.activities():
            if self._keys is not None:
                self._keys.keep(activity)
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
                self._unsent += 1

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
                case DeviceCommand(command, argument):
                    await self._on_devices(command, argument)
                case Say() | React() | Read():
                    self._unsent += 1
                    await self._to_do.put(wish)
        if self._unsent and not self._buzz.connected:
            self._screen.note(
                "warning", f"{self._unsent} of the lines are not sent yet: waiting for the connection. Ctrl-C gives up"
            )
        await self._to_do.join()
        await self._until_shown()

    async def _on_devices(self, command: str, argument: str) -> None:
        if self._devices is None:
            self._fail(f"{command} needs encryption: start without --plain")
            return
        try:
            await self._devices.do(command, argument)
        except (CommandFailed, aiohttp.ClientError, TimeoutError) as error:
            self._fail(in_words(error))

    async def _say_encrypted(self) -> None:
        """Say that messages are encrypted, or what this device still needs, when its keys are published."""
        if self._keys is not None and self._devices is not None:
            await self._keys.sealed.ready.wait()
            if (advice := self._devices.advice()) is None:
                self._screen.note("encrypted", _ENCRYPTED)
            else:
                self._screen.note("not_linked", advice)
        await asyncio.Event().wait()  # the chat ends with another task

    def _on_link_code(self, data: dict[str, Any]) -> None:
        self._screen.note("link", f"the code of this device: {data['code']}", **data)

    def _on_linked(self, data: dict[str, Any]) -> None:
        self._screen.note("link", f"this device is linked by {data['by']}", **data)
        self._screen.note("encrypted", _ENCRYPTED)

    def _on_link_ended(self, data: dict[str, Any]) -> None:
        self._screen.note("link", f"nothing was linked: {data['why']}", **data)

    async def _until_shown(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ENTRIES_SECONDS):
                while self._conversation.newest_id < self._last_sent_id:
                    self._shown.clear()
                    await self._shown.wait()

    async def _send_in_order(self) -> None:
        while True:
            wish = await self._to_do.get()
            waiting = asyncio.get_running_loop().call_later(_SHOW_WAITING_SECONDS, self._show_waiting, wish)
            try:
                if (ack := await self._do(wish)) is not None:
                    self._last_sent_id = ack.id
                self._unsent -= 1
            except SessionEnded:
                raise
            except KeysChanged as error:
                self._unsent -= 1
                self._fail(self._devices.not_sent(error) if self._devices else f"not sent: {error}")
            except NoReaders as error:
                self._unsent -= 1
                self._fail(
                    f"not sent: {error}. They have to open Buzz once, in the web app or with `run.py chat`;"
                    " /devices shows what they have"
                )
            except (SendRefused, SealingRefused, FrameTooLarge, ValueError) as error:
                self._unsent -= 1
                self._fail(f"not sent: {error}")
            finally:
                waiting.cancel()
                self._to_do.task_done()

    def _show_waiting(self, wish: Intent) -> None:
        if isinstance(wish, Say):
            self._screen.note("waiting", f"… waits to be sent: {wish.text}")

    async def _do(self, wish: Intent) -> Ack | None:
        if not isinstance(wish, Say):
            await self._until_shown()  # the message that it refers to may not have come back yet
        match wish:
            case Say(text):
                return await self._buzz.send_message(self._conversation.to, text, sender=self._conversation.me)
            case React(number, emoji) if (about := self._known(number)) is not None:
                return await self._buzz.react(self._conversation.to, about, emoji, sender=self._conversation.me)
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
