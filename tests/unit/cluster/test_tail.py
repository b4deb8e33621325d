"""The chain of commits: whatever notices are lost, late, doubled or reordered, each session gets its own, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.activity import Activity
from server.bus.contract import Listener
from server.bus.local import LocalBus
from server.bus.notices import Committed, Notice, Reached
from server.cluster import tail as tail_module
from server.cluster.tail import Tail
from server.live.catch_up import CatchUp
from server.live.hub import Hub
from server.live.parties import PartyName
from server.live.ring import Entry
from server.live.session import Session
from storage.contract import LogState, Page, Range
from storage.errors import StorageUnavailable
from tests.harness.peer import WAIT_SECONDS
from tests.harness.sessions import entry, name, session, wire_of

PEOPLE = (1, 2, 3)
COMPANY = -9


class ListLog:
    """The truth: a list. What is asked of the log's contract here, and nothing else."""

    def __init__(self) -> None:
        self.epoch = "e1"
        self.head = 0
        self.activities: list[Activity] = []
        self.away = False
        self.while_read: Callable[[], None] = lambda: None
        self.amendments = 0

    def commit(self, pairs: Sequence[tuple[int, int]]) -> tuple[int, list[Entry]]:
        """Append one batch; the head before it, and its entries."""
        before = self.head
        entries = [entry(number, *pair) for number, pair in enumerate(pairs, before + 1)]
        self.activities += [each.activity for each in entries]
        self.head += len(pairs)
        return before, entries

    async def state(self) -> LogState:
        if self.away:
            raise StorageUnavailable("away")
        return LogState(self.epoch, self.head, self.amendments)

    def erase(self) -> None:
        """Everything that was ever written."""
        self.activities = [msgspec.structs.replace(each, message=None) for each in self.activities]
        self.amendments += 1

    async def tail(self, after: int, limit: int) -> Page[Activity]:
        self.while_read()
        newer = [each for each in self.activities if each.id > after]
        return Page(newer[:limit], len(newer) > limit)

    async def read(self, ranges: Sequence[Range]) -> list[Page[Activity]]:
        found = [
            [
                each
                for each in self.activities
                if wanted.after < each.id < wanted.before and {each.sender, each.receiver} & set(wanted.parties)
            ]
            for wanted in ranges
        ]
        return [
            Page(rows[: wanted.limit], len(rows) > wanted.limit) for wanted, rows in zip(ranges, found, strict=True)
        ]

    async def renew_epoch(self) -> str:
        self.epoch += "'"
        return self.epoch


class Names:
    """Everybody has a name; it has to be read first, once."""

    def __init__(self) -> None:
        self.known: dict[int, PartyName] = {}

    def get(self, key: int) -> PartyName | None:
        return self.known.get(key)

    def shown(self, key: int) -> PartyName:
        return self.known.get(key) or name(key)

    async def load(self, keys: Iterable[int]) -> None:
        await asyncio.sleep(0)
        self.known |= {key: name(key) for key in keys}

    async def reload_live(self) -> None:
        """Nobody is ever called otherwise here."""


class NoticeBus(LocalBus):
    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Notice] = []

    def publish(self, notice: Notice) -> None:
        self.published.append(notice)

    def listen(self, listener: Listener, epoch: Any) -> None: ...


class Node:
    """One node of a cluster, with everything but sockets."""

    def __init__(self, log: ListLog, ring_size: int = 8) -> None:
        self.log = log
        self.hub = Hub(log.epoch, log.head, ring_size, partial=True)
        self.bus = NoticeBus()
        self.names = Names()
        self.tail = Tail(log, self.hub, self.names, self.bus, 3_600)  # type: ignore[arg-type]
        self.catch_up = CatchUp(self.hub, log, self.names)  # type: ignore[arg-type]
        self.hub.catch_up_with(self.catch_up.add)
        self.starts: dict[Session, int] = {}

    def open(self, person: int, *companies: int, last: int | None = None) -> Session:
        opened = session(person, *companies)
        self.hub.add(opened)
        self.hub.start(opened, last)
        self.starts[opened] = self.hub.head if last is None else last
        return opened

    async def settle(self) -> None:
        """Look, and let everybody catch up."""
        await self.tail.poll()
        while group := self.catch_up._take():
            await self.catch_up._serve(group)

    def check(self) -> None:
        for opened, start in self.starts.items():
            mine = set(opened.parties)
            wanted = [a.id for a in self.log.activities if a.id > start and {a.sender, a.receiver} & mine]
            assert wire_of(opened).ids == wanted


def told(before: int, entries: Sequence[Entry]) -> Committed:
    return Committed(before, before + len(entries), [each.activity for each in entries])


pairs = st.lists(
    st.tuples(st.sampled_from((*PEOPLE, COMPANY)), st.sampled_from((*PEOPLE, COMPANY))), min_size=1, max_size=4
)
steps = st.one_of(
    st.tuples(st.just("other node commits"), pairs),
    st.tuples(st.just("this node commits"), pairs),
    st.tuples(st.just("a notice arrives"), st.integers(0, 10)),
    st.tuples(st.just("a notice is lost"), st.integers(0, 10)),
    st.tuples(st.just("a notice comes twice"), st.integers(0, 10)),
    st.tuples(
        st.just("somebody opens"), st.sampled_from(PEOPLE), st.sampled_from([(), (COMPANY,)]), st.integers(0, 40)
    ),
    st.tuples(st.just("somebody opens at the head"), st.sampled_from(PEOPLE)),
    st.tuples(
        st.just("the node looks"),
    ),
    st.tuples(
        st.just("the node goes on"),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, min_size=12, max_size=40), st.sampled_from([2, 64]))
def test_every_session_gets_its_own_once_and_in_order(plan: list[tuple[Any, ...]], ring_size: int) -> None:
    asyncio.run(_carry_out(plan, ring_size))


async def _carry_out(plan: list[tuple[Any, ...]], ring_size: int) -> None:
    log = ListLog()
    node = Node(log, ring_size)
    under_way: list[Committed] = []
    for what, *how in plan:
        match what:
            case "other node commits":
                under_way.append(told(*log.commit(how[0])))
            case "this node commits":
                before, entries = log.commit(how[0])
                node.tail.committed(before, log.head, entries)
            case "a notice arrives" | "a notice is lost" | "a notice comes twice" if under_way:
                notice = under_way[how[0] % len(under_way)]
                if what != "a notice comes twice":
                    under_way.remove(notice)
                if what != "a notice is lost":
                    node.tail.heard(notice)
            case "somebody opens":
                await node.tail.catch_up_to(min(how[2], log.head), None)
                node.open(how[0], *how[1], last=min(how[2], log.head))
            case "somebody opens at the head":
                node.open(how[0])
            case "the node looks":
                await node.tail.poll()
            case "the node goes on":
                node.tail._hand_over_waiting()
    await node.settle()
    node.check()
    assert node.hub.head == log.head
    heads = [each.head for each in node.bus.published if isinstance(each, Committed)]
    assert heads == sorted(heads)


@pytest.fixture
def node() -> Node:
    return Node(ListLog())


async def test_a_commit_in_its_turn_is_delivered_at_once(node: Node) -> None:
    await node.names.load(PEOPLE)
    opened = node.open(1)
    node.tail.heard(told(*node.log.commit([(2, 1)])))
    assert wire_of(opened).ids == [1]
    assert node.hub.head == 1


async def test_what_comes_before_its_turn_waits(node: Node) -> None:
    await node.names.load(PEOPLE)
    opened = node.open(1)
    first, second = told(*node.log.commit([(2, 1)])), told(*node.log.commit([(3, 1)]))
    node.tail.heard(second)
    assert wire_of(opened).ids == []
    node.tail.heard(first)
    node.tail.heard(first)
    assert wire_of(opened).ids == [1, 2]
    assert node.tail.counts["late"] == 1


async def test_what_concerns_nobody_here_is_not_kept(node: Node) -> None:
    await node.names.load(PEOPLE)
    node.open(1)
    node.tail.heard(told(*node.log.commit([(2, 3)] * 5 + [(1, 2)])))
    assert node.hub.head == 6
    assert [each.id for each in node.hub.ring.since(0)] == [6]


async def test_whoever_opens_while_a_piece_waits_is_not_forgotten(node: Node) -> None:
    await node.names.load(PEOPLE)
    missing, waiting = node.log.commit([(2, 3)]), told(*node.log.commit([(3, 1)]))
    node.tail.heard(waiting)
    opened = node.open(1)
    node.tail.heard(told(*missing))
    assert wire_of(opened).ids == [2]


async def test_a_missing_piece_is_read_when_it_stays_away(node: Node) -> None:
    running = asyncio.create_task(node.tail.run())
    opened = node.open(1)
    node.log.commit([(2, 1)])
    node.tail.heard(told(*node.log.commit([(3, 1)])))
    while wire_of(opened).ids != [1, 2]:  # noqa: ASYNC110 - another task's doing
        await asyncio.sleep(0.001)
    assert node.tail.counts["holes"] == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_storage_that_is_away_for_a_while_is_waited_for(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "RETRY_SECONDS", 0.01)
    running = asyncio.create_task(node.tail.run())
    opened = node.open(1)
    node.log.away = True
    node.log.commit([(2, 1)])
    node.tail.heard(told(*node.log.commit([(3, 1)])))
    await asyncio.sleep(0.05)
    assert not running.done()
    node.log.away = False
    while wire_of(opened).ids != [1, 2]:  # noqa: ASYNC110 - another task's doing
        await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_node_that_is_far_behind_leaves_it_to_each_session(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "MOST_READ", 3)
    opened = node.open(1)
    node.log.commit([(2, 1), (2, 3)] * 4)
    await node.settle()
    node.check()
    assert len(wire_of(opened).ids) == 4
    assert node.tail.counts["skipped"] == 1


async def test_another_epoch_ends_every_session(node: Node) -> None:
    opened = node.open(1)
    node.log.commit([(2, 1)])
    node.log.epoch = "e2"
    await node.tail.poll()
    assert wire_of(opened).close_code == 1001
    assert (node.hub.epoch, node.hub.head) == ("e2", 1)


async def test_a_log_that_has_lost_history_gets_a_new_epoch(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module.random, "random", lambda: 0.0)
    opened = node.open(1)
    before, entries = node.log.commit([(2, 1), (2, 1)])
    node.tail.committed(before, 2, entries)
    node.log.head = 1
    del node.log.activities[1:]
    await node.tail.poll()
    assert node.log.epoch == node.hub.epoch == "e1'"
    assert wire_of(opened).close_code == 1001
    assert node.hub.head == 1
    again = node.open(1, last=0)
    before, entries = node.log.commit([(3, 1)])
    node.tail.committed(before, 2, entries)
    await node.settle()
    assert wire_of(again).ids == [1, 2]


async def test_a_head_that_another_node_has_reached_is_looked_for(node: Node) -> None:
    """Also when it is heard of before the tail runs; the periodic look is an hour away."""
    running = asyncio.create_task(node.tail.run())
    opened = node.open(1)
    node.log.commit([(2, 1)])
    node.tail.reached(Reached(1))
    node.tail.bus_up()
    async with asyncio.timeout(WAIT_SECONDS):
        while not wire_of(opened).ids:  # noqa: ASYNC110 - another task's doing
            await asyncio.sleep(0.001)
    assert node.bus.published == [Reached(0)]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def messages(opened: Session) -> list[str | None]:
    frames = wire_of(opened).frames
    return [each.get("message") for frame in frames if frame["type"] == "activities" for each in frame["activities"]]


async def test_what_was_erased_is_forgotten_at_the_next_poll_without_a_notice(node: Node) -> None:
    await node.names.load(PEOPLE)
    await node.settle()
    opened = node.open(1)
    wire_of(opened).paused = True
    node.tail.heard(told(*node.log.commit([(2, 1)])))
    node.log.erase()
    await node.tail.poll()
    wire_of(opened).drain()
    node.hub.resume(opened)
    await node.settle()
    node.check()
    assert messages(opened) == [None]


async def test_what_waits_for_its_turn_is_forgotten_with_the_rest(node: Node) -> None:
    await node.names.load(PEOPLE)
    opened = node.open(1)
    missing, waiting = told(*node.log.commit([(2, 3)])), told(*node.log.commit([(2, 1)]))
    node.tail.heard(waiting)
    node.log.erase()
    node.tail.amended()
    node.tail.heard(missing)
    await node.settle()
    node.check()
    assert messages(opened) == [None]


async def test_a_notice_from_before_an_erasure_leaves_nothing_behind(node: Node) -> None:
    await node.names.load(PEOPLE)
    await node.settle()
    node.open(1)
    notice = told(*node.log.commit([(2, 1)]))
    node.log.erase()
    node.log.while_read = lambda: node.tail.heard(notice)
    await node.tail.poll()
    assert node.hub.head == 1
    assert node.hub.ring.since(0) == []


async def test_nothing_changed_and_nothing_is_forgotten(node: Node) -> None:
    await node.names.load(PEOPLE)
    await node.settle()
    node.open(1)
    node.tail.heard(told(*node.log.commit([(2, 1)])))
    await node.tail.poll()
    assert [each.id for each in node.hub.ring.since(0)] == [1]


async def test_a_look_that_failed_half_way_is_made_again_soon(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "RETRY_SECONDS", 0.01)
    running = asyncio.create_task(node.tail.run())
    opened = node.open(1)
    node.log.commit([(2, 1)])

    def cut() -> None:
        node.log.while_read = lambda: None
        raise StorageUnavailable("cut while it was read")

    node.log.while_read = cut
    node.tail.poll_soon(0)
    async with asyncio.timeout(60):
        while not wire_of(opened).ids:  # noqa: ASYNC110 - another task's doing
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_look_that_is_asked_for_during_another_is_made(node: Node) -> None:
    running = asyncio.create_task(node.tail.run())
    opened = node.open(1)
    node.log.commit([(2, 1)])

    def commit_one_more() -> None:
        node.log.while_read = lambda: None
        asyncio.get_running_loop().call_soon(node.log.commit, [(2, 1)])
        node.tail.poll_soon(0)

    node.log.while_read = commit_one_more
    node.tail.poll_soon(0)
    async with asyncio.timeout(60):
        while wire_of(opened).ids != [1, 2]:  # noqa: ASYNC110 - another task's doing
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
