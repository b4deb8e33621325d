"""The look-up's cost: every table is searched by an index, whatever statistics SQLite has or has not."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

from storage.migrate import steps
from storage.telephony.callers import statement


def test_no_table_is_scanned() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for step in steps("sqlite"):
            for part in step.statements:
                connection.execute(part)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement('sqlite', 4)}", [""] * 16)]
    assert any("SEARCH phone USING INDEX phone_line (<expr>=? AND person_id=?" in line for line in plan), plan
    assert any("SEARCH buzz_number USING INDEX buzz_number_line" in line for line in plan), plan
    # An index on what many rows have in common is as good as none.
    assert not [line for line in plan if re.search(r"\((state|owner_kind)=\?\)", line)], plan
    assert not [line for line in plan if "AUTOMATIC" in line or "TEMP B-TREE" in line], plan
    # What the question itself brings may be walked; a table may not.
    scanned = {match[1] for line in plan if (match := re.match(r"SCAN (\w+)", line))}
    assert scanned <= {"4", "v", "ask", "callee", "found"}, plan
