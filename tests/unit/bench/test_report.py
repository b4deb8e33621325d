"""The page and its plots, and the results that they are made from."""

from __future__ import annotations

import re
from pathlib import Path

import defusedxml.ElementTree

from bench import results
from bench.figures import Curve, Line, Reading, Sample, ratio_at_least
from bench.page import page
from bench.plots import plot
from bench.registry import Row, all_rows
from bench.rows import ORDER
from bench.table import markdown

LINE = Line("sends", "sends <fast>", "1/s", ratio_at_least(0.2, goal=0.3), "bare echo")


def curve(*ys: float) -> Curve:
    return Curve("Growth & more", "Buzz", "sessions", "sends/s", tuple((float(x), y) for x, y in enumerate(ys)))


async def measure(_: object) -> Sample:
    return Sample({})


def measured(*samples: Sample, fault: str = "") -> results.Results:
    return results.Results({"sends": results.of_row(Row("sends", (LINE,), measure), samples, fault, {}, quick=False)})


def test_a_plot_is_well_formed_whatever_its_labels_and_values() -> None:
    for shape in ([curve(0, 0)], [curve(1, 2, 3), curve(3e6, 2, 1e-3)]):
        assert defusedxml.ElementTree.fromstring(plot(shape)).tag == "svg"


def test_the_page_shows_every_line_and_asks_for_nothing_from_elsewhere() -> None:
    shown = page(measured(Sample({"sends": Reading(25, 100)}, (curve(1, 2),))))
    assert "sends &lt;fast&gt;" in shown
    assert "≥ 0.2 of control (goal 0.3)" in shown
    assert "<svg" in shown
    assert not re.search(r"(src|href|@import|url\()", shown)


def test_the_table_of_a_page_shows_what_is_judged_of_two_runs() -> None:
    now, before = measured(Sample({"sends": Reading(15, 100)})), measured(Sample({"sends": Reading(50, 100)}))
    *_, line = markdown(now.rows.values(), before.rows).splitlines()
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "sends <fast>", "15 1/s", "100", "0.15", "0.15 to 0.15", "1", "≥ 0.2 of control (goal 0.3)", "**not met**",
        "0.5",
    ]  # fmt: skip
    assert markdown(now.rows.values(), {}).endswith(" |  |"), "there was no run before"


def test_a_row_that_could_not_be_measured_says_why() -> None:
    assert "not measured: the server &lt;died&gt;" in page(measured(fault="the server <died>"))


def test_results_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    found = measured(Sample({"sends": Reading(25, 100)}, (curve(1, 2),)))
    results.write(tmp_path / "results.json", found)
    assert results.read(tmp_path / "results.json") == found


def test_the_curves_of_several_repeats_become_one_of_medians() -> None:
    samples = [Sample({}, (curve(1, 10),)), Sample({}, (curve(3, 30),)), Sample({}, (curve(2, 50),))]
    [merged] = results.merge_curves(samples)
    assert merged.points == ((0.0, 2.0), (1.0, 30.0))


def test_every_row_has_its_place_in_the_table() -> None:
    assert set(all_rows()) <= set(ORDER)
