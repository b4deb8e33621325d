"""What the people of `run.py demo` say to each other, and how it is sent: over sockets, by the client library."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import uuid4

from buzz_client import BuzzClient
from server.node.demo_crowd import COMPANIES, CROWD, MEMBERS

TALKS_AT_ONCE: Final = 8
_REACTIONS: Final = ("👍", "❤️", "😂", "🎉", "😮", "🙏")
_CALLS: Final = (
    ("outgoing_call_connected_secure", 312),
    ("outgoing_call_connected_insecure", 95),
    ("outgoing_call_missed", 0),
)
_AMONG_PEOPLE: Final = (
    ("Are we still on for tonight?", "Yes! Seven at the usual place.", "Great, I'll book a table.", "See you there 🙂"),
    ("Did you see the news about the bridge?", "No, what happened?", "It opens on Saturday, with fireworks.",
     "Then we should go!", "I'll bring the kids."),
    ("Could you send me the address again?", "12 Quay Street, second floor.\nThe bell says “Studio”.", "Thanks!"),
    ("Happy birthday! 🎂", "Thank you so much!", "Hope you have a day off?", "Sadly not, but there is cake at work."),
    ("The train is late again.", "How long?", "They say 25 minutes.", "No problem, I'll wait at the café."),
    ("I found your umbrella.", "You're a star. Where was it?", "Under the bench in the hall.", "Typical me.",
     "I'll bring it tomorrow.", "Perfect, it's going to rain."),
    ("¿Vienes el domingo a comer?", "¡Claro! ¿Llevo el postre?", "Sí, por favor.", "Hecho."),
    ("שלום, מה שלומך?", "מצוין, תודה! נפגשים מחר?", "כן, בעשר."),
    ("Here is the recipe: https://example.com/lentils", "That looks easy even for me.", "It is. Use fresh ginger."),
    ("Can you water the plants while I'm away?", "Sure, from when to when?", "Friday to Wednesday.", "Done. Enjoy!"),
)  # fmt: skip
_WITH_COMPANIES: Final = (
    ("Hello, I'd like to move my appointment.", "Of course. Thursday at nine, or Friday at two?", "Friday please.",
     "You're booked for Friday at two."),
    ("My last bill looks too high.", "I'm sorry about that. May I have the number on it?", "It's 4471-20.",
     "Thank you. We read the meter wrongly, a corrected bill is on its way.", "That was quick, thank you!"),
    ("Do you have an opening this week?", "We do, tomorrow at 11:30.", "I'll take it."),
)  # fmt: skip


class DemoTalk(NamedTuple):
    """Lines that two parties write by turns; ``company``: for which the second one writes, or None."""

    first: int
    second: int
    company: int | None
    lines: Sequence[str]


@dataclass
class Sent:
    """How much was sent; ``told`` is called with each number of messages."""

    messages: int = 0
    reactions: int = 0
    read_marks: int = 0
    calls: int = 0
    told: Callable[[int], None] = field(default=lambda count: None, repr=False)


def talks(messages: int, chance: random.Random) -> Iterator[DemoTalk]:
    """Yield talks with about so many messages in all."""
    people = list(CROWD)
    while messages > 0:
        first, second = chance.sample(people, 2)
        company = None
        if chance.random() < 0.25:
            company = chance.choice(list(COMPANIES))
            second = chance.choice([each for each in MEMBERS[company] if each != first])
        lines = chance.choice(_WITH_COMPANIES if company else _AMONG_PEOPLE)[:messages]
        messages -= len(lines)
        yield DemoTalk(first, second, company, lines)


async def play(
    url: str, tokens: Mapping[int, str], messages: int, seconds: float, sent: Sent, chance: random.Random
) -> None:
    """Connect everybody, and have them send about so many messages within about so many seconds (0: at once).

    Raises BuzzError if the server can't be used.
    """
    async with AsyncExitStack() as stack:
        clients: dict[int, BuzzClient] = {}
        for person, token in tokens.items():
            client = BuzzClient(url, token, device_id="demo")
            clients[person] = await stack.enter_async_context(client)
        room = asyncio.Semaphore(TALKS_AT_ONCE)
        # At most eight talks run at once, so each message takes eight times its share of the time.
        pause = TALKS_AT_ONCE * seconds / messages
        async with asyncio.TaskGroup() as group:
            for talk in talks(messages, chance):
                await room.acquire()
                task = group.create_task(_held(clients, talk, pause, sent, chance), name="talk")
                task.add_done_callback(lambda _: room.release())


async def _held(
    clients: Mapping[int, BuzzClient], talk: DemoTalk, pause: float, sent: Sent, chance: random.Random
) -> None:
    sides = (
        (clients[talk.first], f"person:{talk.first}", None),
        (clients[talk.second], f"person:{talk.second}", talk.company),
    )
    for number, text in enumerate(talk.lines):
        (writer, _, acting), (reader, other, _) = sides[number % 2], sides[(number + 1) % 2]
        to = f"company:{talk.company}" if talk.company and number % 2 == 0 else other
        await _written(writer, to, acting, reader, text, sent, chance)
        if pause:
            await asyncio.sleep(pause * chance.uniform(0.5, 1.5))
    if talk.company is None and chance.random() < 0.15:
        await _called(sides[0][0], talk.first, talk.second, sent, chance)


async def _written(
    writer: BuzzClient, to: str, acting: int | None, reader: BuzzClient, text: str, sent: Sent, chance: random.Random
) -> None:
    """Write one line; the reader may react to it, and mostly marks it as read."""
    sender = f"company:{acting}" if acting else None
    message_id = str(uuid4())
    await writer.send_message(to, text, message_id=message_id, sender=sender)
    sent.messages += 1
    sent.told(1)
    back = sender or f"person:{writer.welcome.person_id}"
    reading_for = to if to.startswith("company:") else None
    if chance.random() < 0.2:
        await reader.react(back, message_id, chance.choice(_REACTIONS), sender=reading_for)
        sent.reactions += 1
    if chance.random() < 0.8:
        await reader.mark_read(back, message_id, sender=reading_for)
        sent.read_marks += 1


async def _called(client: BuzzClient, caller: int, called: int, sent: Sent, chance: random.Random) -> None:
    kind, seconds = chance.choice(_CALLS)
    parties = {"sendable_type": "person", "sendable_id": caller, "receivable_type": "person", "receivable_id": called}
    await client.send({"type": kind, **parties, "call_time": seconds})
    sent.calls += 1
