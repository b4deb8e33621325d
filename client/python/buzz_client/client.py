"""`BuzzClient`: a person's device on a Buzz server, for as long as the ``async with`` block runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

import aiohttp

from buzz_client.activity import Activity, Party
from buzz_client.address import Address
from buzz_client.backoff import Backoff
from buzz_client.codec import CODECS, Encoding
from buzz_client.composing import as_party, chat_activity, idempotent
from buzz_client.connection import Connection, Welcome
from buzz_client.cursor import CursorStore, MemoryCursor, Position
from buzz_client.delivery import ActivityIterator, Delivery
from buzz_client.encrypting import Encryption
from buzz_client.errors import BuzzError, ClientClosed, HttpError
from buzz_client.events import Callback, Events
from buzz_client.http import BuzzHttp
from buzz_client.inbox import Inbox
from buzz_client.keeping import Keeping
from buzz_client.outbox import Ack
from buzz_client.sending import Sending
from buzz_client.session import Session, Tap
from buzz_client.supervisor import Supervisor
from buzz_client.tokens import Tokens, TokenSource

_LOG = logging.getLogger("buzz_client")
_INBOX_LIMIT = 1000
# For the last `received` frame, at the end.
_LAST_WORD_SECONDS = 1.0


class BuzzClient:
    """A session that continues across reconnects: no activity is lost or repeated.

    ``url`` is the server's base address, ``http(s)://`` or ``ws(s)://``. ``token`` is a person's access token, or a
    callable (plain or async) that fetches a new one whenever it is needed, within 30 seconds. ``since`` is where to
    start if the cursor is empty: an activity id (0: the whole history), or None for new activities only. ``cursor``
    stores the position between runs; in memory if none is given. ``device_id`` is a stable name of this device, at most
    64 characters. A second session with it replaces the first. ``encoding`` is the subprotocol to use. With
    ``mark_received`` the client automatically tells the server what this device has handled, if it has a ``device_id``.
    ``open_timeout_seconds`` is how long ``async with`` tries to open the first session; None: for ever. ``backoff`` is
    the wait between attempts; by default half a second at first, half a minute at most. ``encryption`` seals the texts
    that are sent and opens those that arrive (`buzz_client.encryption.SealedMessages`); without it, the app passes
    ciphertext. ``tap`` is called with every frame that arrives, for debugging.
    """

    def __init__(
        self,
        url: str,
        token: TokenSource,
        *,
        since: int | None = None,
        cursor: CursorStore | None = None,
        device_id: str | None = None,
        encoding: Encoding = "msgpack",
        mark_received: bool = True,
        open_timeout_seconds: float | None = 30.0,
        backoff: Backoff | None = None,
        encryption: Encryption | None = None,
        tap: Tap | None = None,
    ) -> None:
        if encryption is not None and device_id is None:
            raise ValueError("encryption needs a device_id: pass one to the client")
        self._address = Address.parse(url)
        self._tokens = Tokens(token)
        self._codec = CODECS[encoding]
        self._open_timeout_seconds = open_timeout_seconds
        self._backoff = backoff or Backoff()
        self.http = BuzzHttp(self._address, self._tokens)
        self._events = Events()
        self.encryption = encryption
        if encryption is not None:
            encryption.attach(self.http, self._events.emit)
        self._sending = Sending(self._codec, lambda: self._delivery.wake_reader())
        self._inbox = Inbox(_INBOX_LIMIT)
        self._delivery = Delivery(
            self._inbox, self._page_after, lambda: self._session.resync(), lambda: self._sending.answer_awaited
        )
        store = cursor or MemoryCursor()
        if encryption is not None:
            store = encryption.keeping(store)
        place = store.load()
        self._inbox.begin(place.epoch if place else None, place.last_activity_id if place else since)
        self._session = Session(
            self._inbox,
            self._delivery,
            self._sending,
            self._events,
            device_id=device_id,
            owner_id=place.person_id if place else None,
            server=self._address.http_base,
            encryption=encryption,
            tap=tap,
        )
        self._keeping = Keeping(store, self._confirm if mark_received and device_id else None)
        self._runner: asyncio.Task[None] | None = None
        self._over: BaseException | None = None
        self._taken: tuple[Activity, Position] | None = None

    async def __aenter__(self) -> Self:
        """Open the first session.

        Raises SessionEnded if the server refuses this token, this client or this origin; TimeoutError if there is no
        session within ``open_timeout_seconds``.
        """
        await self.http.__aenter__()
        self._runner = asyncio.create_task(self._run(), name="buzz-client")
        welcomed = asyncio.create_task(self._session.welcomed.wait(), name="buzz-welcomed")
        try:
            async with asyncio.timeout(self._open_timeout_seconds):
                await asyncio.wait({self._runner, welcomed}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            await self._stop()
            why = f": {self._session.why_none}" if self._session.why_none else ""
            raise TimeoutError(
                f"no session with {self._address.http_base} in {self._open_timeout_seconds} s{why}"
            ) from error
        except BaseException:
            await self._stop()
            raise
        finally:
            welcomed.cancel()
        if self._over is not None:
            await self._stop()
            raise self._over
        if self._session.start is not None:
            self._keeping.start(self._session.start)
            try:
                # A first run that is killed while it handles its first activity must not start at the end next time.
                await self._keeping.flush()
            except BaseException:
                await self._stop()
                raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Store the position and close the socket.

        The activity being handled counts as handled unless the block raised.
        """
        if kind is None:
            self._keeping.handled_all()
        await self._stop()

    @property
    def welcome(self) -> Welcome:
        """The server's answer when the latest connection was opened: person, device, head and epoch of the log."""
        if self._session.welcome is None:
            raise ClientClosed("there is no session yet: use the client with `async with`")
        return self._session.welcome

    @property
    def connected(self) -> bool:
        """Whether there is a live connection now."""
        return self._sending.connected

    async def send(self, activity: Mapping[str, Any]) -> Ack:
        """Store an activity (the fields of ``POST activity``) and return once it is durable.

        The client makes it idempotent: a ``chat_message`` gets a ``message_id`` and everything else an
        ``idempotency_key``, once, unless it has one. So it is stored once even if the connection is lost several times
        meanwhile; the call only takes longer. Concurrent sends are sent in the order of the calls.

        If it is cancelled (by a timeout, for example) before the activity was written to a connection, the activity is
        never sent. Afterwards it may or may not be stored, and is not sent again. To be sure that it is stored, give it
        a ``message_id`` (or ``idempotency_key``) of your own and send it again with the same one.

        With an ``encryption``, the ``message`` of a ``chat_message`` or a ``chat_reaction_emoji`` is the text, and is
        sealed; in each conversation one after another.

        Raises SendRefused if the server refuses it (``code`` says why); FrameTooLarge if it is larger than the server
        accepts; BuzzError if the session ended first: whether it is stored is then unknown, and sending the same
        ``message_id`` again is safe.
        """
        if self._runner is None:
            raise ClientClosed("use the client with `async with`")
        if self.encryption is not None:
            return await self.encryption.send(idempotent(activity), self._sending.send)
        return await self._sending.send(idempotent(activity))

    async def send_message(
        self, to: Party | str, message: str, *, message_id: str | None = None, sender: Party | str | None = None
    ) -> Ack:
        """Send a chat message to a person or company.

        Without an ``encryption`` the caller must encrypt it: the server sees what is passed.

        ``sender`` is a company of this person, to write in its name.
        """
        return await self._send_chat("chat_message", sender, to, message=message, message_id=message_id)

    async def react(self, to: Party | str, message_id: str, emoji: str, *, sender: Party | str | None = None) -> Ack:
        """React to a message exchanged with that party; without an ``encryption``, pass the emoji encrypted."""
        return await self._send_chat("chat_reaction_emoji", sender, to, message_id=message_id, message=emoji)

    async def mark_read(self, to: Party | str, message_id: str, *, sender: Party | str | None = None) -> Ack:
        """Tell that party that this message was read."""
        return await self._send_chat("chat_read_indicator", sender, to, message_id=message_id)

    def activities(self) -> AsyncIterator[Activity]:
        """Return an iterator over every activity of this person: each once, in id order, across reconnects.

        An activity counts as handled when the next one is requested; only then is the cursor stored. So after a crash
        the last few may be repeated, and none is lost. Only one iteration may run at a time.

        Raises SessionEnded if the session can't continue, after everything that had arrived.
        """
        return ActivityIterator(self._next_activity)

    def on(self, name: str, callback: Callback) -> Callable[[], None]:
        """Call back with the data of each live event of that name, in order; returns a function that ends this.

        Besides the server's events: ``client.state`` (``live`` or ``waiting``), ``client.caught_up``,
        ``client.epoch_changed`` (the log was restored or cleared: all activities are delivered again from the first)
        and ``client.error`` (the server refused a frame that no call waits for).
        """
        return self._events.on(name, callback)

    def typing(self, to: Party | str) -> None:
        """Tell that party, live, that this person is typing. It is not awaited and not repeated."""
        party = as_party(to)
        if self.connected:
            self._sending.post(("typing", party), {"type": "typing", "to": party.as_wire()})

    def received(self, activity_id: int) -> None:
        """Tell the server that this device has stored everything up to this id.

        Raises ValueError without a ``device_id``.
        """
        if self.welcome.device_id is None:
            raise ValueError("pass a device_id to the client: the server stores what was received for each device")
        self._mark_received(activity_id)

    async def refresh(self) -> None:
        """Fetch a new token and use it in the running session.

        The client does so itself when the token expires soon.
        """
        self._tokens.reject()
        self._sending.post("refresh", {"type": "refresh", "token": await self._tokens.current()})

    async def _run(self) -> None:
        """Run all background tasks; at the end `_over` has the error to raise."""
        supervisor = Supervisor(self._open, self._session, self._tokens, self._backoff)
        try:
            async with asyncio.TaskGroup() as group:
                for name, work in (
                    ("supervisor", supervisor.run()),
                    ("sending", self._sending.run()),
                    ("events", self._events.run()),
                    ("keeping", self._keeping.run()),
                    ("tokens", self._keep_token_fresh()),
                    *([("encryption", self.encryption.run())] if self.encryption else []),
                ):
                    group.create_task(work, name=f"buzz-{name}")
        except BaseExceptionGroup as errors:
            self._end(_first(errors))
        except asyncio.CancelledError:
            self._end(ClientClosed("the client was closed"))
            raise

    def _end(self, error: BaseException) -> None:
        self._over = error
        ended = error if isinstance(error, BuzzError) else ClientClosed(f"the session failed: {error!r}")
        self._sending.end(ended)
        if self.encryption is not None:
            self.encryption.end(ended)
        self._delivery.end(error)

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._keeping.flush()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD_SECONDS):
                    await self._sending.flush()
            self._runner.cancel()
            with suppress(asyncio.CancelledError):
                await self._runner
        await self.http.close()

    async def _open(self, token: str, hello: Mapping[str, Any]) -> Connection:
        return await Connection.open(self._address, self._codec, token, hello)

    async def _keep_token_fresh(self) -> None:
        while True:
            await self._session.token_expiring.wait()
            self._session.token_expiring.clear()
            if not self._tokens.renewable:
                _LOG.warning(
                    "the token is about to expire and the client cannot fetch another; pass a callable as token"
                )
                continue
            try:
                await self.refresh()
            except OSError as error:
                # The server will close with 4401, and the supervisor then fetches a token until it succeeds.
                _LOG.warning("cannot get a new token yet: %s", error)

    async def _page_after(self, activity_id: int) -> Sequence[Activity]:
        """Return a page of this epoch's log; nothing if there is none, or none is available now."""
        try:
            page = await self.http.activities_after(activity_id)
        except (HttpError, aiohttp.ClientError, TimeoutError) as error:
            _LOG.info("cannot load a page over HTTP: %s", error)
            return ()
        return page.activities if page.epoch in (None, self._inbox.epoch) else ()

    async def _next_activity(self) -> Activity:
        self._keeping.handled_all()
        # What was taken is kept until it is handed out: opening it may take long, and be cancelled or fail.
        if self._taken is None or self._taken[1].epoch != self._inbox.epoch:
            activity = await self._delivery.next()
            self._taken = (activity, self._session.place_of(activity))
        activity, place = self._taken
        if self.encryption is not None:
            activity = await self.encryption.open(activity)
        self._taken = None
        self._keeping.handing(place)
        return activity

    def _confirm(self, place: Position) -> None:
        """Tell the server what is stored, unless it is of another history, in which the id means another activity."""
        if place.epoch == self._inbox.epoch:
            self._mark_received(place.last_activity_id)

    def _mark_received(self, activity_id: int) -> None:
        self._sending.post("received", {"type": "received", "id": activity_id})

    async def _send_chat(self, kind: str, sender: Party | str | None, to: Party | str, **fields: str | None) -> Ack:
        me = Party("person", self.welcome.person_id)
        return await self.send(chat_activity(kind, as_party(sender or me), as_party(to), **fields))


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
