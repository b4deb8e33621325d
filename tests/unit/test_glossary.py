"""docs/glossary.md: its terms live where it says, and names that were replaced are not used again."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.harness.source import ROOT, names_in

PAGE = (ROOT / "docs" / "glossary.md").read_text("utf-8")
TERMS = re.findall(r"^\| ([\w -]+?) \| (.*) \| `([\w/]+\.py)` `([\w.]+)` \|$", PAGE, re.MULTILINE)
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| term")]
RETIRED = {
    r"\bDoor\b": "acceptor",
    r"\bat_the_door\b": "connection error",
    r"\bSeat\b": "remote session",
    r"\bTurnstile\b": "admission",
    r"\bDialogue\b": "frame handler",
    r"\bNeighbours\b": "cluster listener",
    r"\bMisfit\b": "conflict",
    r"\bmisfit\b": "fault, conflict",
    r"\bstrangers\b": "foreign epoch, unknown callers",
    r"\b_mourn\b": "act on a verdict",
    r"\b_ground\b": "requeue",
    r"\bnudge\b": "wake",
    r"\bNeedsCare\b|\bCareful\b": "slow path",
}
FOLDERS = ("server", "storage", "protocol", "client/python", "tests", "bench", "local_servers")


def test_there_are_at_most_forty_terms_each_with_its_place() -> None:
    assert 20 <= len(TERMS) == len(ROWS) <= 40


def test_a_term_is_explained_once() -> None:
    terms = [term for term, *_ in TERMS]
    assert sorted(set(terms)) == sorted(terms)


@pytest.mark.parametrize("row", TERMS, ids=lambda row: row[0])
def test_a_term_lives_where_the_page_says(row: tuple[str, str, str, str]) -> None:
    _, meaning, file, name = row
    assert name in names_in(file)
    assert meaning.endswith(".")
    assert len(meaning) < 200, "one or two sentences"


def test_a_retired_name_is_not_used_again() -> None:
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 400
    found = [
        f"{path.relative_to(ROOT)}: {match[0]} (say {instead})"
        for path in files
        if path != Path(__file__)
        for text in [path.read_text("utf-8")]
        for retired, instead in RETIRED.items()
        if (match := re.search(retired, text))
    ]
    assert found == []


SHARED_NAMES = {
    "Activities": "the frame, and the service",
    "Appender": "of the two databases",
    "DirectoryChanged": "the event to sessions, and the notice to nodes",
    "Number": "in the heartbeat, and in the directory",
    "ServiceCode": "in a privacy request, and in the directory",
    "TrustedCompany": "in a look-up, and in the directory",
}
"""Names that two classes have: most are the names of schemas in the API's description."""


def test_no_other_two_classes_have_one_name() -> None:
    files = [path for folder in ("server", "storage", "protocol") for path in (ROOT / folder).rglob("*.py")]
    classes = Counter(
        name for path in files for name in re.findall(r"^class (\w+)", path.read_text("utf-8"), re.MULTILINE)
    )
    shared = {name for name, count in classes.items() if count > 1 and not name.startswith("_")}
    assert shared == set(SHARED_NAMES)
