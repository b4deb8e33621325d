"""Row 3: sessions connect, catch up, stall, resume, leave and return during writes, at random yields.

After every step, for every session: the invariant of a session holds, and its state is the one that the table of
transitions leads to. By the end each transition of the table must have been seen. The control is the same with a
catch-up that reads its page, hands it over, and then calls the session live: the usual two phases.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from structlog.testing import capture_logs

from protocol.activity import Activity
from server.live.session import Session
from server.live.session_states import TRANSITIONS, SessionState, Trigger
from server.runtime.turns import Turns
from storage.contract import Page, Range
from tests.drill.drills import Drill, Report, advance, done_before
from tests.harness.live_path import LivePath
from tests.harness.people import ACME, BOB, CAROL, DAVE, GLOBEX, JANE, copy_directory, make_directory
from tests.harness.session_states import Transition

PEOPLE = (JANE, BOB, CAROL, DAVE)
COMPANIES = (-ACME, -GLOBEX)
PARTIES = (*PEOPLE, *COMPANIES)
ALL = frozenset((state, trigger) for state, row in TRANSITIONS.items() for trigger in row)
ALL -= {(SessionState.OPENING, Trigger.CLOSED)}
"""The transitions that must come: all but that of a session that is closed before its delivery begins."""
_A_LIFE = 250
"""Handovers of one live path; then a new one, so that the model stays small."""


async def run(handovers: int) -> Report:
    """Drive paths at random until there were so many handovers from catch-up to live. Raises what broke first."""
    with tempfile.TemporaryDirectory(prefix="buzz-handovers-") as folder, capture_logs():
        template = await asyncio.to_thread(make_directory, Path(folder) / "template")
        done = deliveries = 0
        seed = done_before()
        transitions = Counter[Transition]()
        while done < handovers:
            seed += 1
            path = await _open(copy_directory(template, Path(folder) / str(seed)), random.Random(seed))
            done += await drive(path, random.Random(seed), min(_A_LIFE, handovers - done))
            await path.finish()
            deliveries += path.deliveries
            transitions += path.transitions
        control = await _control(copy_directory(template, Path(folder) / "control"))
    never = sum(transitions[each] == 0 for each in ALL)
    seen = {
        "handovers": done,
        "deliveries": deliveries,
        "transitions": transitions.total(),
        "lives": seed - done_before(),
    }
    return Report({"broken invariants": 0, "transitions of the table that never came": never}, control, seen)


async def _open(data_dir: Path, chance: random.Random) -> LivePath:
    return await LivePath.open(data_dir, PEOPLE, COMPANIES, chance.choice([1, 2, 4, 16, 64]))


async def drive(path: LivePath, chance: random.Random, handovers: int) -> int:
    """Steps at random, the invariant of every session checked after each, until so many sessions have become live."""
    live: set[Session] = set()
    done = 0
    while done < handovers:
        await chance.choices(STEPS, WEIGHTS)[0](path, chance)
        await path.store.settle()
        path.check_all()
        now = {reader.session for reader in path.readers if reader.session.live}
        done += len(now - live)
        advance(len(now - live))
        live = now
    return done


async def _control(data_dir: Path) -> int:
    path = await _open(data_dir, random.Random(1))
    _go_live_after_a_page(path)
    try:
        await drive(path, random.Random(1), 200)
    except AssertionError:
        return 1
    finally:
        path.readers.clear()
        await path.finish()
    return 0


def _go_live_after_a_page(path: LivePath) -> None:
    catch_up = path.catch_up
    hand_over = catch_up._hand_over

    async def and_go_live(session: Session, wanted: Range, page: Page[Activity], horizon: int, turns: Turns) -> None:
        await hand_over(session, wanted, page, horizon, turns)
        if session.state is SessionState.LISTED and not session.wire.paused:
            session.taken()
            session.caught_up(path.hub.head)

    catch_up._hand_over = and_go_live  # type: ignore[method-assign]


async def _send(path: LivePath, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 5)):
        path.send(chance.choice(PARTIES), chance.choice(PARTIES))


async def _go_on(path: LivePath, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 6)):
        path.store.open(chance.randrange(100), well=chance.random() > 0.02)
        if chance.random() < 0.7:
            await path.store.settle()


async def _connect(path: LivePath, chance: random.Random) -> None:
    if len(path.readers) < 12:
        start = None if chance.random() < 0.1 else max(0, path.hub.head - chance.randrange(40))
        page = chance.choice([1, 2, 5, 100])
        await path.connect(chance.choice(PEOPLE), start, room=_room(chance), binary=chance.random() < 0.5, page=page)


async def _cut(path: LivePath, chance: random.Random) -> None:
    listed = [reader for reader in path.readers if reader.session.state is SessionState.LISTED]
    if listed and chance.random() < 0.5:  # few of all sessions, and it must be tried
        path.disconnect(chance.choice(listed))
    elif path.readers:
        path.disconnect(chance.choice(path.readers))


async def _stall(path: LivePath, chance: random.Random) -> None:
    if path.readers:
        chance.choice(path.readers).wire.paused = True


async def _wake(path: LivePath, chance: random.Random) -> None:
    if path.readers:
        chance.choice(path.readers).wire.drain(_room(chance))


async def _blink(path: LivePath, chance: random.Random) -> None:
    """Full and drained in one moment, whatever is on its way to the session."""
    await _stall(path, chance)
    for reader in path.readers:
        if reader.wire.paused:
            reader.wire.drain(_room(chance))


async def _member(path: LivePath, chance: random.Random) -> None:
    await path.set_member(-chance.choice(COMPANIES), chance.choice(PEOPLE), chance.random() < 0.6)


def _room(chance: random.Random) -> int | None:
    return chance.choice([None, 1, 2, 3, 8])


Step = Callable[[LivePath, random.Random], Awaitable[None]]
STEPS: tuple[Step, ...] = (_send, _go_on, _connect, _cut, _stall, _wake, _blink, _member)
WEIGHTS = (14, 45, 12, 9, 6, 10, 8, 1)

DRILLS = (Drill(3, "connect, catch up and read while writing goes on", run, short=300, full=100_000, unit="handovers"),)
