"""Nested keys: there and back, and what is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.forms import MAX_FIELDS, FormError, Tree, flatten, nest, tree_of

KEYS = st.text(st.characters(exclude_characters="[]", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
SMALL = {"max_size": 3, "min_size": 1}
TREES = st.dictionaries(
    KEYS, VALUES | st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, **SMALL), **SMALL), max_size=4
)


def test_nested_keys_become_nested_objects() -> None:
    fields = [("event_name", "x"), ("service_code[code]", "57"), ("a[b][c]", "1"), ("a[b][d]", "2")]
    assert nest(fields) == {"event_name": "x", "service_code": {"code": "57"}, "a": {"b": {"c": "1", "d": "2"}}}


@given(TREES)
def test_flatten_is_the_reverse_of_nest(tree: Tree) -> None:
    assert nest(flatten(tree)) == tree
    assert tree_of(tree) == tree


@pytest.mark.parametrize(
    ("fields", "named", "reason"),
    [
        ([("a[b][c][d]", "1")], "a[b][c][d]", "deeper"),
        ([("a", "1"), ("a", "2")], "a", "twice"),
        ([("a[b]", "1"), ("a[b]", "1")], "a[b]", "twice"),
        ([("a", "1"), ("a[b]", "2")], "a[b]", "clashes"),
        ([("a[b]", "1"), ("a", "2")], "a", "clashes"),
        ([("a[b]", "1"), ("a[b][c]", "2")], "a[b][c]", "clashes"),
        ([("a[]", "1")], "a[]", "should read"),
        ([("[a]", "1")], "[a]", "should read"),
        ([("a[b", "1")], "a[b", "should read"),
        ([("a]b[", "1")], "a]b[", "should read"),
        ([("a[b]c", "1")], "a[b]c", "should read"),
        ([("", "1")], "", "should read"),
        ([("a" * 129, "1")], "a" * 128, "characters"),
        ([("a", "x\0y")], "a", "NUL"),
        ([("a", "\ud800")], "a", "surrogates"),
        ([(f"f{i}", "") for i in range(MAX_FIELDS + 1)], f"f{MAX_FIELDS}", "too many"),
        ([(f"f{i}", "") for i in range(10_000)], f"f{MAX_FIELDS}", "too many"),
    ],
)
def test_what_does_not_fit_is_named(fields: list[tuple[str, str]], named: str, reason: str) -> None:
    with pytest.raises(FormError, match=reason) as refused:
        nest(fields)
    assert refused.value.field == named


def test_sixty_four_fields_fit() -> None:
    assert len(nest((f"f{i}", "") for i in range(MAX_FIELDS))) == MAX_FIELDS


def test_json_is_read_within_the_same_limits() -> None:
    assert tree_of({"a": True, "b": None, "c": {"d": "x"}}) == {"a": "true", "b": "", "c": {"d": "x"}}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ([], "body"),
        ("text", "body"),
        ({"a": 1}, "a"),
        ({"a": {"b": ["x"]}}, "a[b]"),
        ({"a": {"b": {"c": {"d": "x"}}}}, "a[b][c][d]"),
        ({"a[b]": "x"}, "a[b]"),
        ({"a": {"b": "\ud800"}}, "a[b]"),
        ({f"f{i}": "" for i in range(65)}, "f64"),
    ],
)
def test_json_that_no_form_could_say_is_refused(value: object, named: str) -> None:
    with pytest.raises(FormError) as refused:
        tree_of(value)
    assert refused.value.field == named
