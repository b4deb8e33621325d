"""A call and its names."""

from __future__ import annotations

import uuid

from protocol.call import NAMESPACE, call_of, message_id, names_a_call
from protocol.lookup import Lookup, call_tokens

LOOKUP = Lookup("1", "2385551629", "1", "2025550123")
SID = "CA" + "7" * 32


def test_a_call_is_named_by_its_call_sid_or_by_the_token_of_its_request() -> None:
    assert call_of(LOOKUP, call_tokens("t1", SID)).id_at(1) == SID
    by_token = call_of(LOOKUP, call_tokens("t1", None))
    assert by_token.name == by_token.id_at(1) == by_token.id_at(2) != call_of(LOOKUP, call_tokens("t2", None)).name
    odd = call_of(LOOKUP, call_tokens(None, "CA\0 1'"))
    assert odd.name.startswith("BZ")
    assert odd.name.isalnum()


def test_a_call_without_a_name_is_one_of_its_moment() -> None:
    bare = call_of(LOOKUP)
    assert bare.name == ""
    assert len({bare.id_at(1), bare.id_at(2), call_of(Lookup("1", "2385551629", "1", "2025550124")).id_at(1)}) == 3


def test_the_message_id_is_a_uuid_of_the_call_and_no_clients() -> None:
    assert message_id(SID) == str(uuid.uuid5(NAMESPACE, SID))
    assert names_a_call(message_id(SID).upper())
    assert not names_a_call(str(uuid.uuid4()))
    assert not names_a_call(None)
