"""``python -m tests.drill``: what it runs, what it prints, and how it ends."""

from __future__ import annotations

import pytest

from tests.drill.__main__ import chosen, found, main
from tests.drill.drills import Drill, Report, advance, done_before


def drill(row: int, title: str, report: Report) -> Drill:
    async def run(size: int) -> Report:
        for _ in range(size):
            advance()
        return report

    return Drill(row, title, run, short=2, full=3)


async def _break(_: int) -> Report:
    raise ZeroDivisionError


GOOD = drill(1, "nothing found", Report({"lost": 0, "doubled": 0}, 7))
LOSES = drill(1, "two are lost", Report({"lost": 2}, 7))
TAME = drill(2, "a tame control", Report({"lost": 0}, 0))
ABSENT = drill(3, "cannot be run here", Report({}, 0, not_run="there is no such thing here"))
BROKEN = Drill(4, "broken", _break, short=1, full=1)
ALL = (GOOD, LOSES, TAME, ABSENT, BROKEN)


@pytest.mark.parametrize(
    ("which", "code", "printed"),
    [
        (["nothing"], 0, ["pass", "0 doubled", "3 rounds"]),
        (["3"], 0, ["not run", "there is no such thing here"]),
        (["1"], 1, ["2 lost", "nothing found"]),
        (["2"], 1, ["FAIL"]),
        (["broken"], 1, ["1 broken by ZeroDivisionError"]),
        ([], 1, [each.title for each in ALL]),
        (["--short", "nothing"], 0, ["2 rounds"]),
        (["--size", "9", "nothing"], 0, ["9 rounds"]),
        (["--size", "6", "--minutes", "9", "nothing"], 0, ["6 rounds", "21"]),
        (["--size", "6", "--minutes", "0", "nothing"], 0, ["2 rounds", "7"]),
        (["--size", "6", "--minutes", "9", "tame"], 1, ["6 rounds", "FAIL"]),
        (["--size", "600", "--minutes", "9", "two are lost"], 1, ["6 rounds", "2 lost"]),
    ],
)
def test_what_was_found_is_printed_and_is_the_exit_code(
    which: list[str], code: int, printed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(which, ALL) == code
    out = capsys.readouterr().out
    for text in printed:
        assert text in out
    assert ("two are lost" in out) is (which in (["1"], []) or "two are lost" in which)


def test_a_piece_goes_on_where_the_last_one_ended() -> None:
    """Otherwise drills whose histories follow from a seed would try the same ones in each piece."""
    begun: list[int] = []

    async def run(_: int) -> Report:
        begun.append(done_before())
        return Report({"lost": 0}, 1)

    assert main(["--size", "6", "--minutes", "9"], [Drill(1, "in pieces", run, short=2, full=3)]) == 0
    assert begun == [0, 2, 4]


def test_a_drill_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="no drill 'nonsense'"):
        main(["nonsense"], ALL)
    with pytest.raises(SystemExit) as ended:
        main(["--help"], ALL)
    assert ended.value.code == 0
    assert "what was lost" in capsys.readouterr().out


def test_the_drills_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert {each.row for each in found()} == {*range(1, 12), *range(15, 25)}
    assert {each.row for each in chosen(found(), ["6"])} == {6}, "not those with a 6 in their titles"
    assert main(["--list"]) == 0
    assert "kill -9" in capsys.readouterr().out
