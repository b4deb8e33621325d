"""What has happened among the demo people before the server started: messages, calls and a privacy request.

The texts are not encrypted, because no device of these people has a key yet; the app says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from protocol.activity import ActivityType
from protocol.call import call_of
from protocol.lookup import Lookup
from protocol.web_form import WebForm
from server.live.log import Submission
from server.live.parties import Parties
from server.node.node import Node
from storage.contract import Posting, Result
from storage.telephony.calls import CallStore, NewCall

JANE: Final = 456
JOHN: Final = 7
MARIA: Final = 8
ACME: Final = -123
SERVICE_CODE: Final = "57"
_MINUTE_MS: Final = 60_000


class DemoLine(NamedTuple):
    """One activity: how many minutes ago, of whom, to whom, and its text, or the seconds of a call.

    ``about``: the message that a reaction or a read mark is about, counted from the first line.
    """

    minutes_ago: int
    sender: int
    receiver: int
    text: str | None = None
    type: ActivityType = ActivityType.chat_message
    about: int | None = None
    seconds: int | None = None


class PastCall(NamedTuple):
    """One call to Jane's Buzz number. ``outcome`` and ``seconds``: what came of it, if it rang."""

    minutes_ago: int
    caller: tuple[str, str]
    caller_id: str | None
    verstat: str | None
    outcome: str = "missed"
    seconds: int | None = None


_REACTION: Final = ActivityType.chat_reaction_emoji
_READ: Final = ActivityType.chat_read_indicator
LINES: Final = (
    DemoLine(2_980, JOHN, JANE, "Hi Jane, this is John from the photo course. Is this still your number?"),
    DemoLine(2_975, JANE, JOHN, "It is! How did your pictures of the harbour come out?"),
    DemoLine(2_971, JOHN, JANE, "Better than I hoped. My favourite has fog in it.\nI'll bring prints on Thursday."),
    DemoLine(2_970, JANE, JOHN, "👍", _REACTION, about=2),
    DemoLine(2_969, JANE, JOHN, "Looking forward to it. Shall we meet a bit earlier and have coffee at the corner?"),
    DemoLine(2_960, JOHN, JANE, "Good idea. Half past five?"),
    DemoLine(2_958, JANE, JOHN, "Half past five it is."),
    DemoLine(2_958, JANE, JOHN, None, _READ, about=5),
    DemoLine(2_957, JOHN, JANE, None, _READ, about=6),
    DemoLine(1_505, MARIA, JANE, "Are you in the office tomorrow? The privacy line got a new request."),
    DemoLine(1_490, JANE, MARIA, "From ten on. Let's look at it together."),
    DemoLine(1_490, JANE, MARIA, None, _READ, about=9),
    DemoLine(1_489, MARIA, JANE, None, _READ, about=10),
    DemoLine(1_440, JOHN, ACME, "Hello Acme, my order from last week has not arrived yet. Can you see where it is?"),
    DemoLine(1_420, ACME, JOHN, "Hello John, it left our warehouse on Monday and should reach you tomorrow."),
    DemoLine(1_419, JOHN, ACME, "❤️", _REACTION, about=14),
    DemoLine(620, JOHN, JANE, None, ActivityType.incoming_call_connected_secure, seconds=754),
    DemoLine(310, JANE, JOHN, None, ActivityType.outgoing_call_missed, seconds=0),
    DemoLine(42, JOHN, JANE, "Sorry, I was on the train. What's up?"),
    DemoLine(41, JOHN, JANE, "By the way, this is the place I meant: https://example.com/harbour"),
    DemoLine(17, MARIA, JANE, "The customer called again. I told them that we answer this week."),
)

CALLS: Final = (
    PastCall(2_890, ("1", "2025550199"), "HILL SAM", "TN-Validation-Passed-B"),  # a contact that Jane does not trust
    PastCall(1_580, ("1", "9876543210"), "LEE ANN", "TN-Validation-Passed-A", "connected_secure", 128),
    PastCall(700, ("1", "2025550123"), "RAY BOB", "TN-Validation-Failed-A"),  # a trusted contact's number, forged
    PastCall(190, ("1", "2025550177"), None, None),  # nobody that Jane knows
)


async def fill_demo_history(node: Node, now_ms: Callable[[], int]) -> None:
    """Store what has happened. Called once, for a new demo directory, before the node listens."""
    await _post(node, now_ms())
    await CallStore(node.base.database).record(await _calls(node, now_ms()))
    form = WebForm(
        first_name="Robin",
        last_name="Meyer",
        email="robin.meyer@example.com",
        state="CA",
        tell_me=True,
        delete_me=True,
        other="I closed my account in March, and still get your catalogue.",
        submission="demo",
    )
    await node.privacy.requests.take_web_form(SERVICE_CODE, form, "192.0.2.7")


async def _post(node: Node, now_ms: int) -> None:
    parties = node.parties
    await parties.load({each for line in LINES for each in (line.sender, line.receiver)})
    postings = list(_postings(now_ms))
    for posting in postings:
        await _submitted(node, parties, posting)


async def _submitted(node: Node, parties: Parties, posting: Posting) -> None:
    """Post one activity by the same log as all others, and wait until it is stored."""
    done: asyncio.Future[Result | Exception] = asyncio.get_running_loop().create_future()
    node.log.submit(
        Submission(posting, parties.shown(posting.sender), parties.shown(posting.receiver), done.set_result)
    )
    result = await done
    if isinstance(result, Exception):
        raise result


def _postings(now_ms: int) -> Iterable[Posting]:
    for number, line in enumerate(LINES):
        told = number if line.about is None else line.about
        author = line.sender if line.sender > 0 else MARIA
        yield Posting(
            type=line.type,
            sender=line.sender,
            receiver=line.receiver,
            author=author,
            call_time=line.seconds,
            message=line.text,
            message_id=str(uuid5(NAMESPACE_URL, f"buzz-demo:{told}")),
            created_at_ms=now_ms - line.minutes_ago * _MINUTE_MS,
        )


async def _calls(node: Node, now_ms: int) -> list[NewCall]:
    """Return Jane's calls, decided as all calls are, with the time of each and what came of those that rang."""
    calls = []
    for number, past in enumerate(CALLS):
        inbound_code, inbound = past.caller
        lookup = Lookup("1", "2385551629", inbound_code, inbound, past.caller_id, past.verstat)
        row = await node.telephony.trust.of_ended(call_of(lookup, (f"token:demo-{number}",)))
        if row is None:  # this directory is not the demo's
            continue
        row = row._replace(created_at_ms=now_ms - past.minutes_ago * _MINUTE_MS)
        calls.append(NewCall(row if not row.trusted else row._replace(outcome=past.outcome, call_time=past.seconds)))
    return calls
