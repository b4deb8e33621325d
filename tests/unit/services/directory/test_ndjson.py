"""Lines from pieces of any size."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from server.services.directory.ndjson import Line, LineSplitter


def split(data: bytes, cuts: list[int], max_bytes: int = 1_000) -> list[Line]:
    splitter = LineSplitter(max_bytes)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    lines = [line for a, b in pairwise(places) for line in splitter.feed(data[a:b])]
    return lines + splitter.end()


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(0, 500)))
def test_the_cuts_make_no_difference(lines: list[bytes], cuts: list[int]) -> None:
    data = b"\n".join(lines)
    assert split(data, cuts) == split(data, [])


def test_blank_lines_count_and_are_left_out() -> None:
    assert split(b"\xef\xbb\xbf{}\r\n\n \t\r\n[]", []) == [Line(1, b"{}"), Line(4, b"[]")]
    assert split(b"", []) == []
    assert split(b"{}\n", []) == [Line(1, b"{}")]


@given(st.lists(st.integers(0, 100)))
def test_a_line_that_is_too_long_is_told_and_not_kept(cuts: list[int]) -> None:
    data = b"short\n" + b"x" * 50 + b"\nshort\n" + b"y" * 50
    assert split(data, cuts, max_bytes=20) == [Line(1, b"short"), Line(2, None), Line(3, b"short"), Line(4, None)]
