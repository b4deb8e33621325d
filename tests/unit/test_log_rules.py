"""The rules of the log (storage/log_rules.py): repeats, and what reactions and read indicators are about."""

from __future__ import annotations

import pytest

from protocol.activity import ActivityType
from storage.contract import Posting, Refusal, Result, Stored
from storage.log_rules import Decided, Known, activity, decide

ALICE, BOB, CAROL, ACME = 1, 2, 3, -9
MESSAGE = Posting(ActivityType.chat_message, ALICE, BOB, ALICE, None, "ciphertext", "m", 1_720_181_685_000)
KEYED = MESSAGE._replace(type=ActivityType.outgoing_call_missed, message=None, message_id=None, idempotency_key="k")
REACTION = MESSAGE._replace(type=ActivityType.chat_reaction_emoji, sender=BOB, receiver=ALICE, author=BOB, message="👍")


def test_a_new_batch_is_kept_whole_and_numbered_when_it_is_stored() -> None:
    decided = decide([MESSAGE, REACTION], Known.nothing())
    assert decided.kept == [0, 1]
    assert decided.results_after(40) == [Stored(activity(41, MESSAGE), False), Stored(activity(42, REACTION), False)]


def test_what_is_about_another_one_of_its_batch_gets_that_ones_id() -> None:
    decided = decide([KEYED, MESSAGE, REACTION], Known.nothing())
    assert decided.about_after(40) == [None, None, 42]


def test_what_is_about_a_stored_message_gets_its_id() -> None:
    assert decide([REACTION], known(MESSAGE)).about_after(40) == [1]


@pytest.mark.parametrize("stored", [True, False], ids=["stored before", "of the same batch"])
@pytest.mark.parametrize(
    ("first", "repeat", "answer"),
    [
        (MESSAGE, MESSAGE._replace(message="encrypted anew"), Stored(activity(1, MESSAGE), True)),
        (MESSAGE, MESSAGE._replace(receiver=CAROL), Refusal.MESSAGE_ID_REUSED),
        (MESSAGE, MESSAGE._replace(sender=ACME), Refusal.MESSAGE_ID_REUSED),
        (KEYED, KEYED, Stored(activity(1, KEYED), True)),
        (KEYED, KEYED._replace(idempotency_hash=b"other"), Refusal.KEY_REUSED),
        (MESSAGE._replace(idempotency_key="k"), KEYED, Stored(activity(1, MESSAGE), True)),
    ],
)
def test_a_repeat_gets_the_first_answer_or_a_refusal(
    first: Posting, repeat: Posting, answer: Result, *, stored: bool
) -> None:
    if stored:
        decided = decide([repeat], known(first))
        assert (decided.kept, decided.results_after(1)) == ([], [answer])
    else:
        decided = decide([first, repeat], Known.nothing())
        assert (decided.kept, decided.results_after(0)[1]) == ([0], answer)


@pytest.mark.parametrize(
    "new",
    [
        MESSAGE._replace(message_id="n"),
        MESSAGE._replace(author=BOB, sender=BOB, receiver=ALICE),
        KEYED._replace(idempotency_key=None),
        KEYED._replace(author=BOB, sender=BOB, receiver=ALICE),
    ],
)
def test_an_other_author_id_or_key_is_no_repeat(new: Posting) -> None:
    assert decide([new], known(MESSAGE, KEYED)).kept == [0]


@pytest.mark.parametrize(
    "other",
    [
        REACTION._replace(message_id="n"),
        REACTION._replace(message_id=None),
        REACTION._replace(sender=CAROL, author=CAROL),
        REACTION._replace(type=ActivityType.chat_read_indicator, receiver=CAROL),
    ],
)
def test_what_is_about_no_message_between_the_same_two_is_refused(other: Posting) -> None:
    assert decide([other], known(MESSAGE)) == Decided([], [], [Refusal.MESSAGE_NOT_FOUND])


def test_of_two_messages_the_other_sides_is_meant() -> None:
    mine = MESSAGE._replace(sender=BOB, receiver=ALICE, author=BOB)
    assert decide([REACTION], known(mine, MESSAGE)).about == [2]
    assert decide([REACTION], known(mine)).about == [1]


def test_a_companys_message_may_be_any_members_but_a_persons_is_their_own() -> None:
    to_company = REACTION._replace(receiver=ACME)
    assert decide([to_company], known(MESSAGE._replace(sender=ACME, author=CAROL))).about == [1]
    assert decide([REACTION], known(MESSAGE._replace(author=CAROL))).results == [Refusal.MESSAGE_NOT_FOUND]


def known(*postings: Posting) -> Known:
    """What is known of a log with these alone, their ids rising from 1."""
    found = Known.nothing()
    for number, posting in enumerate(postings, 1):
        found.add(posting, activity(number, posting))
    return found
