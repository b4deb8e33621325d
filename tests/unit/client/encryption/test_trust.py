"""Which devices are trusted, from rows of published keys: those that were signed out, came back, or are a thief's."""

from __future__ import annotations

from collections.abc import Sequence

from buzz_client.encryption.primitives import identity_public
from buzz_client.encryption.statements import IDENTITY_ALGORITHM, NEVER, KeyText, Link, Statement
from buzz_client.encryption.trust import KnownPerson, PublishedKey, review

BOB = 7
LAPTOP, TABLET, PHONE, STOLEN, THIEFS, ANOTHER = (bytes([number]) * 32 for number in range(6))


def published(
    device_id: str, seed: bytes, updated_at: int, *, by: bytes | None = None, at: int = 0, revoked_at: int | None = None
) -> PublishedKey:
    """Return a device's identity as the server lists it; ``by``, ``at``: whose link it has, and from when."""
    public = identity_public(seed)
    about = KeyText(BOB, device_id, IDENTITY_ALGORITHM, public)
    link = None if by is None else Link.make(about, identity_public(by), by, at)
    own = Statement.make(about, seed, NEVER)
    statement = Statement(own.expires_at, own.signature, link)
    return PublishedKey(public, IDENTITY_ALGORITHM, device_id, statement, updated_at, revoked_at)


def reviewed(rows: Sequence[PublishedKey], known: KnownPerson | None = None) -> tuple[KnownPerson, dict[str, str]]:
    """Return the person, and what is thought of each device."""
    person, _ = review(BOB, known, rows, 100)
    assert person is not None
    return person, {device.device_id: device.standing.value for device in person.devices}


def test_while_nobody_has_linked_it_again_its_links_from_before_it_was_signed_out_count() -> None:
    first = [published("laptop", LAPTOP, 10), published("tablet", TABLET, 20, by=LAPTOP, at=20)]
    known, _ = reviewed(first)
    back = [
        published("laptop", LAPTOP, 10),
        published("tablet", TABLET, 50, by=LAPTOP, at=20),
        published("tablet", TABLET, 20, by=LAPTOP, at=20, revoked_at=40),
    ]
    known, standings = reviewed(back, known)
    assert standings == {"laptop": "trusted", "tablet": "waiting"}
    for at, expected in ((30, "trusted"), (60, "waiting")):
        _, standings = reviewed([*back, published("phone", PHONE, 60, by=TABLET, at=at)], known)
        assert standings == {"laptop": "trusted", "tablet": "waiting", "phone": expected}


def test_once_it_is_linked_again_its_links_count_from_then_on_and_not_those_from_between() -> None:
    rows = [
        published("laptop", LAPTOP, 10),
        published("tablet", TABLET, 60, by=LAPTOP, at=50),
        published("between", ANOTHER, 42, by=TABLET, at=42),
        published("later", PHONE, 70, by=TABLET, at=70),
        published("tablet", TABLET, 20, by=LAPTOP, at=20, revoked_at=40),
    ]
    _, standings = reviewed(rows)
    assert standings == {"laptop": "trusted", "tablet": "trusted", "between": "waiting", "later": "trusted"}


def test_at_the_first_contact_what_came_back_by_itself_does_not_outvote_the_others() -> None:
    rows = [
        published("laptop", LAPTOP, 10),
        published("stolen", STOLEN, 50, by=LAPTOP, at=20),
        published("thief's", THIEFS, 60, by=STOLEN, at=60),
        published("another", ANOTHER, 61, by=THIEFS, at=61),
        published("a third", TABLET, 62, by=THIEFS, at=62),
        published("stolen", STOLEN, 20, by=LAPTOP, at=20, revoked_at=40),
        published("phone", PHONE, 30, by=LAPTOP, at=30),
    ]
    person, standings = reviewed(rows)
    assert person.root == identity_public(LAPTOP)
    assert standings == {
        "laptop": "trusted", "phone": "trusted",
        "stolen": "waiting", "thief's": "waiting", "another": "waiting", "a third": "waiting",
    }  # fmt: skip


def test_a_link_or_a_decision_from_the_second_in_which_it_was_signed_out_does_not_bring_it_back() -> None:
    first = [published("laptop", LAPTOP, 10), published("tablet", TABLET, 20, by=LAPTOP, at=40)]
    known, _ = reviewed([*first, published("phone", PHONE, 30)])
    [phone] = [device for device in known.devices if device.device_id == "phone"]
    back = [
        published("laptop", LAPTOP, 10),
        published("tablet", TABLET, 50, by=LAPTOP, at=40),
        published("tablet", TABLET, 20, by=LAPTOP, at=40, revoked_at=40),
        published("phone", PHONE, 50),
        published("phone", PHONE, 30, revoked_at=40),
    ]
    _, standings = reviewed(back, known.accept(phone.tag, 40))
    assert standings == {"laptop": "trusted", "tablet": "waiting", "phone": "waiting"}


def test_the_first_of_several_roots_in_a_circle_of_links_is_found() -> None:
    rows = [
        published("tablet", TABLET, 50, by=PHONE, at=50),
        published("phone", PHONE, 30, by=TABLET, at=30),
        published("tablet", TABLET, 20, by=LAPTOP, at=20, revoked_at=40),
        published("laptop", LAPTOP, 10, revoked_at=45),
    ]
    person, standings = reviewed(rows)
    assert person.root == identity_public(LAPTOP)
    assert standings == {"tablet": "trusted", "phone": "trusted", "laptop": "trusted"}


def test_the_first_of_several_roots_is_the_one_that_was_published_first_whatever_was_published_again() -> None:
    rows = [
        published("laptop", LAPTOP, 50),
        published("thief's", THIEFS, 20),
        published("laptop", LAPTOP, 10, revoked_at=40),
        published("phone", PHONE, 15, by=LAPTOP, at=15),
    ]
    person, standings = reviewed(rows)
    assert person.root == identity_public(LAPTOP)
    assert standings == {"laptop": "waiting", "thief's": "waiting", "phone": "trusted"}
