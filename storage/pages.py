"""Where a page ends: how its bytes are counted, and how pages of several sources are merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import merge

from protocol.activity import Activity
from storage.contract import ROW_BYTES, Page, Range


def size_of(activity: Activity) -> int:
    """Return the bytes that an activity counts as: see :class:`storage.contract.Range`."""
    message = activity.message or ""
    return ROW_BYTES + (len(message) if message.isascii() else len(message.encode()))


def fitting(sizes: Iterable[int], max_bytes: int) -> int:
    """Return how many of these make a page: all until their sum reaches ``max_bytes``, at least one."""
    count = total = 0
    for size in sizes:
        count += 1
        total += size
        if total >= max_bytes:
            break
    return count


def merged(parts: Sequence[Page[Activity]], wanted: Range) -> Page[Activity]:
    """Merge pages of separate sources into one, in order. It ends where the first source that has more was cut off."""
    if len(parts) == 1:
        return parts[0]
    rows = list(merge(*(part.rows for part in parts), key=lambda row: row.id, reverse=wanted.newest_first))
    ends = [part.rows[-1].id for part in parts if part.more]
    if ends:
        end = max(ends) if wanted.newest_first else min(ends)
        known = [row for row in rows if (row.id >= end if wanted.newest_first else row.id <= end)]
    else:
        known = rows
    count = fitting(map(size_of, known[: wanted.limit]), wanted.max_bytes)
    return Page(known[:count], bool(ends) or count < len(known))
