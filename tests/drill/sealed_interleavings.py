"""Row 24: people with one to three devices each, whose keys change while sealed messages are on their way.

A seeded history of steps: devices send, read late, lose their connection, restart, are added, linked, signed out and
come back; sealing keys grow old; a stolen device is removed, publishes its keys again and links another one; the server
answers requests for keys late and tells of changes late. The encryption of the Python client seals and opens, without a
server. What each device may read follows from what its sender had been told when it began to send:

- lost: a device was linked all that time, and could not read the message;
- leaked: a device was not linked at any moment of that time (it was removed, or nobody had linked it), and could;
- doubled: a message opened again after it was handled; false: it opened with another text, or in another place.

The control's devices ignore removals: the list of keys that they get has no removed key.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from collections import Counter
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from unittest.mock import patch

from buzz_client import Activity, Party, Position
from buzz_client.composing import chat_activity, idempotent
from buzz_client.encryption import KeysChanged, LinkRefused, MemoryKeys, NoReaders, SealedMessages, statements
from buzz_client.encryption.encoding import from_base64, to_base64
from buzz_client.encryption.outgoing import SENDING
from buzz_client.encryption.primitives import signed_by
from buzz_client.encryption.statements import IDENTITY_ALGORITHM, KeyText, Link, read_statement
from buzz_client.outbox import Ack
from tests.drill.drills import Drill, Report, advance, done_before
from tests.harness.key_server import Key, KeyRoutes, KeyServer

STEPS = 40
MOST_DEVICES = 3
PROBLEMS = ("lost", "leaked", "doubled", "false", "broken")
_BEGIN = 1_767_225_600
_DAY = 86_400
_TURNS = 12
"""So often each task may go on after a step."""
_PATIENCE_SECONDS = 600
_PIECE = 10
"""So many histories go to a process at once."""


class Immediately(ThreadPoolExecutor):
    """Runs a call where it is made, so that a seed always gives the same history."""

    def submit(self, call: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(call(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            done.set_exception(error)
        return done


@dataclass(eq=False)
class Message:
    """One message in the log. ``told``: up to which change of a person's keys its sender had been told of them."""

    sender: Device
    text: str
    told: Mapping[int, int]
    activity: Activity
    stored_at: int
    """After which change of keys."""


class LateRoutes(KeyRoutes):
    """Some answers are held back, and say what was true when they were asked for."""

    def __init__(self, world: World, person: int) -> None:
        super().__init__(world.server, person)
        self.world = world

    async def public_keys(self, person: int) -> list[dict[str, Any]]:
        rows = await super().public_keys(person)
        if self.world.ignore_removals:
            rows = [{**row, "revoked_at": None} for row in rows]
        await self.world.held()
        return rows


@dataclass(eq=False)
class Device:
    """A device. ``reading``: since which changes of keys it is linked and in use, or not: (change, whether)."""

    world: World
    person: int
    name: str
    first: bool
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    rogue: bool = False
    """Somebody else has it: it was stolen, or added with a stolen token."""
    connected: bool = True
    told: dict[int, int] = field(default_factory=dict)
    events: list[tuple[int, int]] = field(default_factory=list)
    """The changes of which it has not been told: (change, person)."""
    reading: list[tuple[int, bool]] = field(default_factory=list)
    position: int = 0
    handled: int = 0
    results: dict[int, str | None] = field(default_factory=dict)
    knew: dict[int, set[str]] = field(default_factory=dict)
    sending: int = 0
    linking: bool = False
    linked_by: Device | None = None
    linked_in_vain: bool = False
    """Whether the device that has linked it was removed meanwhile: that link does not count."""
    busy: bool = False

    def start(self) -> None:
        self.routes = LateRoutes(self.world, self.person)
        self.sealed = SealedMessages(self.keys, now=self.world.server.now)
        self.sealed.attach(self.routes, lambda name, data: None)
        self.running = self.world.task(self.sealed.run(), background=True)
        self.connect()
        self.public_key = to_base64(self.sealed._parts.own.keys.identity)

    def connect(self) -> None:
        self.connected = True
        self.events.clear()
        for person in self.world.people:
            self.told[person] = self.world.server.changes
        self.sealed.live(self.person, self.name, len(self.world.log))

    def lose_the_connection(self) -> None:
        self.connected = False
        self.sealed.lost()

    def hear(self) -> None:
        """Hear of one change, if there is one."""
        if self.events and self.connected:
            change, person = self.events.pop(0)
            self.told[person] = max(self.told[person], change)
            self.sealed.event("key.changed", {"person_id": person})

    @property
    def ready(self) -> bool:
        return self.sealed.ready.is_set()

    @property
    def in_doubt(self) -> bool:
        """Whether others may have refused a device that has vouched for it: the thief's, after it had been removed."""
        found: Device | None = self
        seen = set[Device]()
        while found is not None and found not in seen:
            if found.linked_in_vain or (found.rogue and found is not self):
                return True
            seen.add(found)
            found = found.linked_by
        return False

    @property
    def reads(self) -> bool:
        return self.reading[-1][1] if self.reading else False

    def read_between(self, first: int, last: int) -> set[bool]:
        """Whether it was linked and in use, at each change of keys from the first to the last."""
        before = [reads for change, reads in self.reading if change <= first]
        return {before[-1] if before else False} | {reads for change, reads in self.reading if first < change <= last}


class CountingServer(KeyServer):
    """Counts the changes of keys, and tells the world of each."""

    def __init__(self, world: World) -> None:
        super().__init__(lambda: world.now)
        self.world = world
        self.changes = 0

    def put(self, person: int, public_key: str, algorithm: str, device_id: str, statement: str) -> Key:
        before = list(self.keys)
        key = super().put(person, public_key, algorithm, device_id, statement)
        if self.keys != before:
            self._changed(person)
        return key

    def remove(self, person: int, device_id: str) -> None:
        super().remove(person, device_id)
        self._changed(person)

    def _changed(self, person: int) -> None:
        self.changes += 1
        self.world.changed(person)


class World:
    """The devices of two or three people, their log, and a random history."""

    def __init__(self, seed: int, *, ignore_removals: bool = False) -> None:
        self.random = random.Random(seed)
        self.ignore_removals = ignore_removals
        self.now = _BEGIN
        self.people = range(1, self.random.choice((3, 3, 4)))
        self.server = CountingServer(self)
        self.devices: list[Device] = []
        self.gone: list[Device] = []
        self.log: list[Message] = []
        self.gates: list[asyncio.Event] = []
        self.held_back = False
        self.tasks: set[asyncio.Task[None]] = set()
        self.background: set[asyncio.Task[None]] = set()
        self.problems: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.jumps = [31 * _DAY, 8 * _DAY]

    # --- the machinery ---------------------------------------------------------------------------------------------

    def task(self, work: Coroutine[Any, Any, None], *, background: bool = False) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(work))
        tasks = self.background if background else self.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - nothing may fail: it is counted
            self.problems["broken"] += 1
            self.seen[f"{type(error).__name__}: {error}"] += 1

    async def held(self) -> None:
        """Wait, now and then, until another step lets this answer through."""
        if self.held_back and self.random.random() < 0.3:
            gate = asyncio.Event()
            self.gates.append(gate)
            await gate.wait()

    def let_through(self) -> None:
        """In any order."""
        if self.gates and self.random.random() < 0.5:
            self.gates.pop(self.random.randrange(len(self.gates))).set()

    async def settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def finish(self) -> None:
        """Let everything through, and wait until nothing is under way."""
        self.held_back = False
        while self.gates:
            self.gates.pop().set()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while self.tasks:
                await asyncio.wait(list(self.tasks))

    def changed(self, person: int) -> None:
        """The server has other keys of this person: some devices are linked now, or are not any more."""
        for device in (*self.devices, *self.gone):
            if device.person == person and (reads := self._is_linked(device)) != device.reads:
                device.reading.append((self.server.changes, reads))
            if device.connected:
                device.events.append((self.server.changes, person))

    def _is_linked(self, device: Device) -> bool:
        """Whether the server has it as a device in use that its person has linked, by what this page of keys says."""
        rows = [
            key
            for key in self.server.of(device.person)
            if (key.device_id, key.public_key) == (device.name, device.public_key)
        ]
        if not rows or rows[0].revoked_at is not None or (device.rogue and len(rows) > 1) or device.name == "rogue":
            return False
        removed_at = max((int(key.revoked_at) for key in rows if key.revoked_at is not None), default=None)
        statement = read_statement(rows[0].statement)
        assert statement is not None
        if statement.link is None:
            return device.first and removed_at is None
        return removed_at is None or statement.link.at >= removed_at

    # --- steps -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        for person in self.people:
            first = self.add(person, "first", first=True)
            await self.settle()
            for number in range(1, self.random.randint(1, MOST_DEVICES)):
                self.task(self._link(self.add(person, f"device {number}"), first))
        await self.settle()
        for _ in range(STEPS):
            self.now += self.random.randrange(1, 5)
            self.random.choices(
                (self.send, self.read, self.tell, self.cut, self.add_one, self.link, self.sign_out, self.come_back,
                 self.steal, self.thief, self.restart, self.jump, self.lose_keys),
                (24, 10, 12, 3, 3, 6, 4, 3, 2, 3, 1, 1, 2),
            )[0]()  # fmt: skip
            self.let_through()
            self.held_back = True
            await self.settle()
        for device in self.devices:
            device.connect()
        await self.finish()
        for device in self.devices:
            self._read(device, len(self.log))
        await self.finish()
        self.check()

    async def close(self) -> None:
        for task in list(self.background):
            task.cancel()
        for task in list(self.background):
            with suppress(asyncio.CancelledError):
                await task
        for device in (*self.devices, *self.gone):
            device.keys.close()

    def some(self, fits: Any) -> Device | None:
        found = [device for device in self.devices if fits(device)]
        return self.random.choice(found) if found else None

    def add(self, person: int, name: str, *, first: bool = False, rogue: bool = False) -> Device:
        self.now += 1  # no two are published in the same second: which of them was first would be left to chance
        device = Device(self, person, name, first, rogue=rogue)
        self.devices.append(device)
        device.start()
        return device

    def add_one(self) -> None:
        person = self.random.choice(self.people)
        mine = [device for device in self.devices if device.person == person and not device.rogue]
        if len(mine) < MOST_DEVICES:
            self.add(person, f"added {self.server.changes}")

    def lose_keys(self) -> None:
        """A device has lost its keys, and makes new ones under its name."""
        device = self.some(lambda each: each.ready and not (each.rogue or each.busy or each.linking))
        if device is None or not self._can_go(device) or any(not task.done() for task in self.tasks):
            return
        device.running.cancel()
        device.connected = False
        self.devices.remove(device)
        self.gone.append(device)
        self.add(device.person, device.name)
        self.seen["replaced"] += 1

    def send(self) -> None:
        sender = self.some(lambda each: each.reads and each.ready and not each.rogue)
        if sender is None:
            return
        other = self.random.choice([person for person in self.people if person != sender.person])
        one, two = sorted((f"person:{sender.person}", f"person:{other}"))
        if not sender.sending and sender.keys.get(f"{SENDING}{one} {two}") is None:
            # Before its first message it asks for the other's keys.
            sender.told[other] = self.server.changes
        self.task(self._send(sender, other, f"message {self.random.random()}", dict(sender.told)))

    async def _send(self, sender: Device, other: int, text: str, told: Mapping[int, int]) -> None:
        async def store(activity: Mapping[str, Any]) -> Ack:
            found = Activity(
                len(self.log) + 1, activity["type"], Party("person", sender.person), Party("person", other), "", "",
                datetime.fromtimestamp(self.now, UTC), activity["message"], activity["message_id"], None, activity,
            )  # fmt: skip
            self.log.append(Message(sender, text, told, found, self.server.changes))
            return Ack(found.id, "", False, found.message_id)

        sender.sending += 1
        parties = Party("person", sender.person), Party("person", other)
        try:
            await sender.sealed.send(idempotent(chat_activity("chat_message", *parties, message=text)), store)
            self.seen["messages"] += 1
        except KeysChanged as error:
            # The user refuses what the other has not linked; a device that its owner will still link may wait.
            self.seen["refused for changed keys"] += 1
            for name, tag in error.devices:
                if any(each.rogue and (each.person, each.name) == (other, name) for each in self.devices):
                    sender.sealed.refuse(other, tag)
        except NoReaders:
            self.seen["without readers"] += 1
        finally:
            sender.sending -= 1

    def read(self) -> None:
        device = self.some(lambda each: not each.busy)
        if device is not None and device.position < len(self.log):
            self._read(device, self.random.randint(device.position + 1, len(self.log)))

    def _read(self, device: Device, until: int) -> None:
        device.busy = True
        self.task(self._read_until(device, until))

    async def _read_until(self, device: Device, until: int) -> None:
        try:
            while device.position < until:
                message = self.log[device.position]
                parties = (message.activity.sender.id, message.activity.receiver.id)
                if device.person in parties:
                    await self._open(device, message)
                device.position += 1
        finally:
            device.busy = False

    async def _open(self, device: Device, message: Message) -> None:
        activity = message.activity
        if self.random.random() < 0.1:
            moved = replace(activity, message_id="another")
            self.problems["false"] += (await device.sealed.open(moved)).text is not None
        # What it may refuse: the sender is no longer a device that it can know.
        message_is_of_a_device = message.sender.read_between(message.stored_at, self.server.changes) == {True}
        opened = await device.sealed.open(activity)
        earlier = device.results.get(activity.id)
        if earlier is not None and opened.text != earlier:
            self.problems["lost"] += 1
        if opened.text is not None and opened.text != message.text:
            self.problems["false"] += 1
        linked = message.sender.read_between(message.stored_at, self.server.changes) == {True}
        if opened.text is not None or (message_is_of_a_device and linked):
            device.results[activity.id] = opened.text
        if self.random.random() < 0.3:
            device.handled = activity.id
            device.sealed.kept(Position("", activity.id, device.person))
            # What was refused may open now: somebody has linked its sender meanwhile.
            again = await device.sealed.open(activity)
            self.problems["doubled"] += opened.text is not None and again.text is not None

    def tell(self) -> None:
        for device in self.devices:
            if self.random.random() < 0.5:
                device.hear()

    def cut(self) -> None:
        device = self.some(lambda each: True)
        assert device is not None
        if device.connected:
            device.lose_the_connection()
        else:
            device.connect()

    def link(self) -> None:
        new = self.some(
            lambda each: each.ready and not (each.reads or each.rogue or each.linking) and self._in_force(each)
        )
        old = self.some(lambda each: new and each.person == new.person and each.reads and each.ready and not each.rogue)
        if new is not None and old is not None:
            self.task(self._link(new, old))

    async def _link(self, new: Device, old: Device) -> None:
        new.linking = True
        await new.sealed.ready.wait()
        start = await new.sealed.start_linking()
        try:
            await old.sealed.scan_link(start.picture)
            new.linked_by = old
            new.linked_in_vain = not old.reads
            self.seen["linked"] += 1
        except LinkRefused:
            # Meanwhile one of them was removed, or the old one has not taken its own link yet.
            self.seen["not linked"] += 1
        finally:
            new.linking = False

    def _in_force(self, device: Device) -> bool:
        rows = [key for key in self.server.of(device.person) if key.public_key == device.public_key]
        return bool(rows) and rows[0].revoked_at is None

    def sign_out(self) -> None:
        device = self.some(lambda each: each.reads and not each.rogue and self._can_go(each))
        if device is not None:
            self.server.remove(device.person, device.name)
            self.seen["removed"] += 1

    def _can_go(self, device: Device) -> bool:
        return any(
            each.reads and not each.rogue
            for each in self.devices
            if each.person == device.person and each is not device
        )

    def come_back(self) -> None:
        device = self.some(lambda each: each.ready and not each.rogue and not self._in_force(each))
        if device is not None:
            device.connect()

    def steal(self) -> None:
        device = self.some(lambda each: each.reads and not each.rogue and each.ready and self._can_go(each))
        if device is not None and not any(each.rogue for each in self.devices if each.person == device.person):
            device.rogue = True
            self.server.remove(device.person, device.name)
            self.seen["stolen"] += 1

    def thief(self) -> None:
        """Who has a stolen device publishes its keys again, and links a device of theirs with it."""
        stolen = self.some(lambda each: each.rogue and each.name != "rogue")
        if stolen is None:
            return
        rogue = next((each for each in self.devices if each.person == stolen.person and each.name == "rogue"), None)
        if rogue is None:
            self.add(stolen.person, "rogue", rogue=True)
        elif rogue.ready and self.random.random() < 0.5:
            self._link_by_thief(rogue, stolen)
        else:
            for each in stolen.sealed._parts.own.publications():
                self.server.put(stolen.person, each.public_key, each.algorithm, each.device_id, each.statement)

    def _link_by_thief(self, rogue: Device, stolen: Device) -> None:
        keys, row = stolen.sealed._parts.own.keys, rogue.sealed._parts.own.publications()[0]
        about = KeyText(rogue.person, rogue.name, IDENTITY_ALGORITHM, from_base64(row.public_key, 100))
        statement = read_statement(row.statement)
        assert statement is not None
        linked = replace(statement, link=Link.make(about, keys.identity, keys.identity_seed, self.now))
        self.server.put(rogue.person, row.public_key, row.algorithm, rogue.name, linked.encoded())

    def restart(self) -> None:
        device = self.some(lambda each: each.ready and not each.busy and not each.sending)
        if device is None or any(not task.done() for task in self.tasks):
            return
        device.running.cancel()
        # What was not handled is given again.
        device.position = device.handled
        device.start()

    def jump(self) -> None:
        if self.jumps:
            self.now += self.jumps.pop()

    # --- what came of it -------------------------------------------------------------------------------------------

    def check(self) -> None:
        for device in self.devices:
            for message in self.log:
                if device.person in (message.activity.sender.id, message.activity.receiver.id):
                    self._check(device, message)

    def _check(self, device: Device, message: Message) -> None:
        told = message.told[device.person]
        could = {True} if device is message.sender else device.read_between(told, message.stored_at)
        result = device.results.get(message.activity.id)
        in_doubt = device.in_doubt or message.sender.in_doubt
        if could == {True} and message.activity.id in device.results and result is None and not in_doubt:
            self.problems["lost"] += 1
        if could == {False} and result is not None:
            self.problems["leaked"] += 1
        self.seen["read"] += result is not None
        self.seen["kept from a device"] += could == {False} and result is None


async def interleaving(seed: int, *, ignore_removals: bool = False) -> World:
    """Run the history of this seed, and return it with what was found."""
    asyncio.get_running_loop().set_default_executor(Immediately(1))
    world = World(seed, ignore_removals=ignore_removals)
    try:
        await world.run()
    finally:
        await world.close()
    return world


def _histories(seeds: range, ignore_removals: bool) -> tuple[Counter[str], Counter[str]]:
    """Run these histories in this process; returns the problems, and what else was seen."""
    problems, seen = Counter[str](), Counter[str]()
    # Devices check the same statements again and again, which is a third of the time.
    with patch.object(statements, "signed_by", lru_cache(1024)(signed_by)):
        for seed in seeds:
            world = asyncio.run(interleaving(seed, ignore_removals=ignore_removals))
            problems += world.problems
            seen += world.seen
    return problems, seen


async def run(size: int) -> Report:
    """Run the histories in a process for each core: they share nothing."""
    problems, seen, lost = Counter[str](), Counter[str](), Counter[str]()
    first = done_before()
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes:

        async def some(seeds: range) -> None:
            found, also = await loop.run_in_executor(processes, _histories, seeds, False)
            problems.update(found)
            seen.update(also)
            advance(len(seeds))

        async def control() -> None:
            found, _ = await loop.run_in_executor(processes, _histories, range(first, first + min(size, 20)), True)
            lost.update(found)

        async with asyncio.TaskGroup() as group:
            group.create_task(control())
            for start in range(first, first + size, _PIECE):
                group.create_task(some(range(start, min(start + _PIECE, first + size))))
    return Report({name: problems[name] for name in PROBLEMS}, lost["leaked"], dict(seen))


DRILLS = (Drill(24, "sealed messages while devices come and go", run, short=30, full=100_000, unit="interleavings"),)
