"""The survey makes of lines in order something that can be applied in any order: checked against applying in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocol.directory import Company, Contact, Entry, Identity, Kind, Member, Object, Person, Removed
from server.services.directory.survey import Survey

Store = dict[tuple[Kind, Identity], Object]

ids = st.integers(1, 3)
entries = st.one_of(
    st.builds(lambda i, name: Person(i, name), ids, st.sampled_from("ab")),
    st.builds(lambda i, name: Company(i, name), ids, st.sampled_from("ab")),
    st.builds(Member, ids, ids),
    st.builds(Contact, ids, ids),
    st.builds(lambda i: Removed(Kind.PERSON, (i,)), ids),
    st.builds(lambda i: Removed(Kind.COMPANY, (i,)), ids),
    st.builds(lambda i, j: Removed(Kind.MEMBER, (i, j)), ids, ids),
    st.builds(lambda i: Removed(Kind.CONTACT, (i,)), ids),
)


def in_order(store: Store, lines: list[Entry]) -> Store:
    """One line after another, the plain way."""
    store = dict(store)
    for entry in lines:
        if not isinstance(entry, Removed):
            store[entry.kind, entry.identity] = entry
            continue
        store.pop((entry.kind, entry.identity), None)
        if entry.removed_party is not None:
            store = {key: found for key, found in store.items() if entry.removed_party not in found.goes_with}
    return store


def by_survey(store: Store, lines: list[Entry]) -> Store:
    """Removed parties first, then what counts, in an order of its own."""
    survey = Survey()
    for number, entry in enumerate(lines, 1):
        survey.take(number, entry)
    store = {key: found for key, found in store.items() if not survey.deleted.keys() & set(found.goes_with)}
    for number, entry in reversed(list(enumerate(lines, 1))):
        left = survey.standing(number, entry)
        if isinstance(left, Removed):
            store.pop((left.kind, left.identity), None)
        elif left is not None:
            store[left.kind, left.identity] = left
    return store


@given(st.lists(entries, max_size=12), st.lists(entries, max_size=12))
def test_any_order_ends_as_the_lines_say(before: list[Entry], lines: list[Entry]) -> None:
    store = in_order({}, before)
    assert by_survey(store, lines) == in_order(store, lines)


@given(st.lists(entries, max_size=12))
def test_what_is_needed_is_what_nobody_brings(lines: list[Entry]) -> None:
    survey = Survey()
    for number, entry in enumerate(lines, 1):
        survey.take(number, entry)
    after = in_order({}, lines)
    parties = {found.key for found in after.values() if isinstance(found, Person | Company)}
    dangling = {key for found in after.values() for key in found.parties} - parties
    assert dangling <= survey.needed.keys()
    assert not survey.needed.keys() & parties
