"""Row 4: people who connect, send, receive, refresh, are revoked, cut off, and whose server is started anew.

A state machine (hypothesis) does these in any order over real sockets and keeps a model of the log beside the server.
After each step every open client has received a beginning of what the model has for it, and the state of its session is
one that the table of transitions leads to from the state seen before; at the end it has all of it and is live. The
control reconnects without its cursor: the machine must find that it misses what was sent meanwhile.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from server.live.session import Session
from server.live.session_states import SessionState
from tests.drill.drills import Drill, Report, advance
from tests.harness.peer import JSON, MSGPACK, WAIT_SECONDS, Peer, chat
from tests.harness.people import ACME, BOB, CAROL, JANE, copy_directory, make_directory
from tests.harness.session_states import REACHABLE
from tests.harness.waiting import until
from tests.harness.watch import watched
from tests.harness.world import World, open_world

T = TypeVar("T")
PEOPLE = (JANE, BOB, CAROL)
RECEIVERS = (*PEOPLE, -ACME)
OF = {JANE: {JANE}, BOB: {BOB}, CAROL: {CAROL, -ACME}}
STEPS, SHORT_STEPS = 50, 25
_SHORT = 8
INDEX = st.integers(0, 9)
OPEN = (SessionState.BEHIND, SessionState.LISTED, SessionState.LIVE)
"""The states of a session whose client is connected."""


class Client:
    """A device: its person, its socket while it has one, and all it has received over every socket."""

    def __init__(self, number: int, person: int, subprotocol: str) -> None:
        self.device = f"device {number}"
        self.person, self.subprotocol = person, subprotocol
        self.before: list[int] = []
        self.again: set[int] = set()
        """What may come a second time: the socket before this one had it after this one's hello."""
        self.peer: Peer | None = None
        self.session: Session | None = None
        self.state = SessionState.OPENING

    def look(self, session: Session) -> None:
        """Its session at the server, whose state must be one that the table leads to from the one seen before."""
        if session is not self.session:
            self.session, self.state = session, SessionState.OPENING
        assert session.state in REACHABLE[self.state], f"{self.device}: {self.state} became {session.state}"
        self.state = session.state

    @property
    def ids(self) -> list[int]:
        now = self.peer.ids if self.peer is not None else []
        return self.before + [id for id in now if id not in self.again]

    def gone(self) -> None:
        self.before, self.peer, self.again = self.ids, None, set()

    def replaced(self, old: Peer, asked_from: int) -> None:
        """There is a new socket, which asked for what is newer than ``asked_from``, and the old one has ended."""
        self.before += [id for id in old.ids if id not in self.again]
        self.again = {id for id in self.before if id > asked_from}


class People(RuleBasedStateMachine):
    """The model: the log as it should be, and who of it concerns whom."""

    template: Path
    patience_seconds = WAIT_SECONDS

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="buzz-model-")
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.log: list[tuple[int, int, int]] = []
        self.sent: list[tuple[int, dict[str, Any], int]] = []
        self.clients: list[Client] = []
        self.world: World

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def due(self, client: Client) -> list[int]:
        """What is the client's of the log, from the beginning."""
        mine = OF[client.person]
        return [id for id, sender, receiver in self.log if sender in mine or receiver in mine]

    @initialize()
    def begin(self) -> None:
        self.data_dir = copy_directory(self.template, Path(self.folder.name) / "data")
        self.run(self._open())

    async def _open(self) -> None:
        await self.stack.enter_async_context(watched())
        self.world = await self.stack.enter_async_context(
            open_world(self.data_dir, ring_size=4, send_rate_limit=10_000)
        )

    @rule(person=st.sampled_from(PEOPLE), subprotocol=st.sampled_from([JSON, MSGPACK]))
    @precondition(lambda self: len(self.clients) < 6)
    def arrive(self, person: int, subprotocol: str) -> None:
        self.clients.append(Client(len(self.clients), person, subprotocol))
        self.run(self._connect(self.clients[-1]))

    def cursor(self, client: Client) -> int | None:
        """What a client says in its hello that it has."""
        return client.ids[-1] if client.ids else 0

    async def _connect(self, client: Client) -> None:
        last = self.cursor(client)
        client.peer = await self.world.join(client.person, client.subprotocol, last=last, device_id=client.device)

    def open_client(self, index: int) -> Client:
        opened = [client for client in self.clients if client.peer is not None]
        return opened[index % len(opened)]

    @property
    def any_open(self) -> bool:
        return any(client.peer is not None for client in self.clients)

    @rule(index=INDEX, to=st.sampled_from(RECEIVERS), count=st.integers(1, 5))
    @precondition(lambda self: self.any_open)
    def send(self, index: int, to: int, count: int) -> None:
        client = self.open_client(index)
        assert client.peer is not None
        for _ in range(count):
            activity = chat(client.person, abs(to), receivable_type="person" if to > 0 else "company")
            ack = self.run(client.peer.post(activity))
            assert (ack["type"], ack["duplicate"]) == ("ack", False), ack
            assert ack["id"] == len(self.log) + 1
            self.log.append((ack["id"], client.person, to))
            self.sent.append((client.person, activity, ack["id"]))

    @rule(index=INDEX, which=st.integers(0, 99))
    @precondition(lambda self: self.any_open and self.sent)
    def send_again(self, index: int, which: int) -> None:
        client = self.open_client(index)
        mine = [(activity, id) for person, activity, id in self.sent if person == client.person]
        if mine and client.peer is not None:
            activity, id = mine[which % len(mine)]
            ack = self.run(client.peer.post(activity | {"message": "encrypted anew"}))
            assert (ack["type"], ack["id"], ack["duplicate"]) == ("ack", id, True)

    @rule(index=INDEX)
    @precondition(lambda self: self.any_open)
    def refresh(self, index: int) -> None:
        client = self.open_client(index)
        assert client.peer is not None
        token = self.world.tokens.person(client.person, 7_200)
        assert self.run(client.peer.ask("refresh", token=token))["type"] == "refreshed"

    @rule(index=INDEX)
    @precondition(lambda self: self.any_open)
    def cut(self, index: int) -> None:
        client = self.open_client(index)
        assert client.peer is not None
        client.peer.cut()
        self.run(client.peer.until_closed())
        client.gone()

    @rule(person=st.sampled_from(PEOPLE))
    def revoke(self, person: int) -> None:
        self.run(self.world.node.auth.revoke_person(person))
        for client in self.clients:
            if client.person == person and client.peer is not None:
                assert self.run(client.peer.until_closed()) == 4401
                client.gone()

    @rule(index=INDEX)
    @precondition(lambda self: any(client.peer is None for client in self.clients))
    def come_again(self, index: int) -> None:
        away = [client for client in self.clients if client.peer is None]
        self.run(self._connect(away[index % len(away)]))

    @rule(index=INDEX)
    @precondition(lambda self: self.any_open)
    def replace(self, index: int) -> None:
        client = self.open_client(index)
        old = client.peer
        assert old is not None
        asked_from = self.cursor(client) or 0
        self.run(self._connect(client))
        assert self.run(old.until_closed()) == 4409
        client.replaced(old, asked_from)

    @rule()
    def restart(self) -> None:
        self.run(self.stack.aclose())
        for client in self.clients:
            if client.peer is not None:
                assert client.peer.close_code in (1000, 1001), client.peer.close_code
                client.gone()
        self.stack = AsyncExitStack()
        self.run(self._open())

    @invariant()
    def holds(self) -> None:
        for client in self.clients:
            due = self.due(client)
            assert client.ids == due[: len(client.ids)], f"{client.device}: {client.ids} does not begin {due}"
            if client.peer is not None:
                client.look(self._session_of(client.peer))
                assert client.state in OPEN, f"{client.device} is connected, and its session {client.state}"
            elif client.session is not None:
                client.look(client.session)

    def _session_of(self, peer: Peer) -> Session:
        session = self.world.node.hub.get(peer.welcome["session_id"])
        assert session is not None
        return session

    def teardown(self) -> None:
        advance()
        try:
            if hasattr(self, "world"):
                self._everything_came()
        finally:
            self.run(self.stack.aclose())
            self.loop.close()
            self.folder.cleanup()

    def _everything_came(self) -> None:
        for client in self.clients:
            if client.peer is None:
                self.run(self._connect(client))
            assert client.peer is not None
            missing = set(self.due(client)) - set(client.before)
            self.run(client.peer.until_ids(*missing, seconds=self.patience_seconds))
            assert client.ids == self.due(client)
            session = self._session_of(client.peer)
            # The last page is written a moment before the session is live.
            self.run(until(lambda session=session: session.live))  # type: ignore[misc]
            client.look(session)
            assert client.state is SessionState.LIVE, f"{client.device} has everything, and its session {client.state}"


class Forgetful(People):
    """The control: clients that come back to wherever the log is by then."""

    patience_seconds = 0.1

    def cursor(self, client: Client) -> int | None:
        return 0 if client is self.clients[-1] and not self.log else None

    def lose(self) -> bool:
        """One life in which something is sent meanwhile; whether the model sees that it is missing."""
        try:
            self.begin()
            self.arrive(JANE, JSON)
            self.arrive(BOB, MSGPACK)
            self.cut(0)
            self.send(0, JANE, 2)
            self.come_again(0)
            self.teardown()
        except AssertionError:
            return True
        return False


async def run(lives: int) -> Report:
    """So many lives of up to fifty steps each. Raises with the shortest life that breaks the model."""
    steps = SHORT_STEPS if lives <= _SHORT else STEPS
    chosen = settings(
        max_examples=lives,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=lives <= _SHORT,
        print_blob=False,
    )
    with tempfile.TemporaryDirectory(prefix="buzz-model-") as folder:
        People.template = await asyncio.to_thread(make_directory, Path(folder) / "template")
        await asyncio.to_thread(run_state_machine_as_test, People, settings=chosen)
        control = await asyncio.to_thread(lambda: Forgetful().lose())
    return Report({"model and server differ": 0}, int(control), {"steps each, at most": steps})


DRILLS = (Drill(4, "model-based sessions", run, short=_SHORT, full=10_000, unit="lives"),)
