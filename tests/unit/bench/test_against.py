"""What the comparison with another commit says of its ratios."""

from __future__ import annotations

import io

from rich.console import Console

from bench.against import Cost, Costs, table

ABOUT = {"processor": "a processor", "python": "3.11"}


def shown(commit: str, name: str, before: Cost, after: Cost) -> str:
    pairs: list[tuple[Costs, Costs]] = [({name: before}, {name: after})]
    console = Console(file=io.StringIO(), width=200)
    console.print(table(commit, {"row": pairs}, ABOUT))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_ratio_is_compared_with_the_bar_of_the_commit() -> None:
    name = "send to received at 20,000 sends/s, p99"
    assert "≤ 0.35: met" in shown("3398baf", name, Cost(100, "ms"), Cost(35, "ms"))
    assert "≤ 0.35: NOT MET" in shown("3398baf", name, Cost(100, "ms"), Cost(36, "ms"))
    assert "met" not in shown("abcdef0", name, Cost(100, "ms"), Cost(36, "ms")).lower(), "it has no bars"


def test_a_saturating_row_with_an_idle_server_gets_no_verdict() -> None:
    found = shown("3398baf", "durable send, JSON", Cost(20, "µs", busy=0.5), Cost(10, "µs"))
    assert "no verdict: the server was only 50% busy" in found
    assert "met" not in found


def test_a_delay_that_the_load_made_itself_gets_no_verdict() -> None:
    found = shown("3398baf", "send to received at 20,000 sends/s, p50", Cost(20, "ms"), Cost(2, "ms", late=0.5))
    assert "no verdict: the load itself was late, by 50% of the delay" in found
