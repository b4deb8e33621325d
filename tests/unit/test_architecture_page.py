"""docs/architecture.md: its pictures are those of the imports, and its journeys name files and functions that exist."""

from __future__ import annotations

import re
from pathlib import Path

import grimp
import pytest

from docs import rooms
from tests.harness.source import names_in

PAGE = rooms.PAGE.read_text("utf-8")
STEP = re.compile(r"`([a-z_0-9/]+\.py)`\s+`([\w.]+)`")
JOURNEYS = {
    title: text
    for title, _, text in (part.partition("\n") for part in PAGE.split("## Eight journeys", 1)[1].split("\n### ")[1:])
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return rooms.graph_of(rooms.ROOT)


def test_the_pictures_and_tables_are_what_the_imports_say(graph: grimp.ImportGraph) -> None:
    assert rooms.filled(PAGE, rooms.drawn(graph)) == PAGE, rooms.OUT_OF_DATE


@pytest.mark.parametrize("top", rooms.TOPS)
def test_no_rooms_import_each_other_in_a_circle(graph: grimp.ImportGraph, top: str) -> None:
    assert rooms.inside(graph, top).circles == []


def test_a_picture_shows_a_way_for_every_import_and_no_arrow_twice() -> None:
    drawn = rooms.Rooms(["a", "b", "c", "d"], {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()})
    assert re.findall(r"(\w) --> (\w)", rooms.picture(drawn)) == [("a", "b"), ("a", "d"), ("b", "c")]
    assert drawn.arrows == 4
    assert drawn.circles == []


def test_a_circle_is_found_once_with_all_its_rooms() -> None:
    drawn = rooms.Rooms(["a", "b", "c", "d"], {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()})
    assert drawn.circles == [["a", "b", "c"]]


def test_a_page_without_a_marker_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the lines"):
        rooms.filled("# Architecture\n", {"picture of server": "…"})


def test_the_check_fails_on_a_page_that_is_out_of_date_and_a_run_mends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "architecture.md"
    page.write_text(PAGE.replace("    routes --> webhooks\n", ""), "utf-8")
    monkeypatch.setattr(rooms, "PAGE", page)
    assert rooms.main(["--check"]) == 1
    assert rooms.main([]) == 0
    assert page.read_text("utf-8") == PAGE
    assert rooms.main(["--check"]) == 0


def test_there_are_eight_journeys_in_numbered_steps() -> None:
    assert len(JOURNEYS) == 8
    for title, text in JOURNEYS.items():
        numbers = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1)), title
        assert all(STEP.match(step) for step in re.findall(r"^\d+\. (.*(?:\n   .*)*)", text, re.MULTILINE)), title


@pytest.mark.parametrize("title", JOURNEYS)
def test_every_step_of_a_journey_names_what_is_in_its_file(title: str) -> None:
    steps = STEP.findall(JOURNEYS[title])
    assert len(steps) > 5
    assert [(file, name) for file, name in steps if name not in names_in(file)] == []


@pytest.mark.parametrize("title", JOURNEYS)
def test_imports_connect_the_files_of_a_journey(graph: grimp.ImportGraph, title: str) -> None:
    modules = {file.removesuffix(".py").replace("/", ".") for file, _ in STEP.findall(JOURNEYS[title])}
    linked = {module: modules & _linked(graph, module) for module in modules}
    reached, new = set(), {next(iter(modules))}
    while new:
        reached |= new
        new = set().union(*(linked[module] for module in new)) - reached
    assert modules - reached == set()


def _linked(graph: grimp.ImportGraph, module: str) -> set[str]:
    return graph.find_modules_directly_imported_by(module) | graph.find_modules_that_directly_import(module)
