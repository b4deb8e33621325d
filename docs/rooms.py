"""Draw the rooms of the code from its imports, in docs/architecture.md.

    python -m docs.rooms                       write the pictures and tables into the page
    python -m docs.rooms --check               fail if the page is out of date (a part of `make check`)
    python -m docs.rooms --figures [--root X]  count rooms, arrows and circles (of another checkout: X)

A *room* is a package or a module directly inside `server/` or `storage/`: `server/live/` is one, `server/app.py` too.
An *arrow* leads from one room to another if any module of the first imports any module of the second; however many do,
it is one arrow. A *circle* is a set of two or more rooms each of which reaches all the others along the arrows. The
imports are those that grimp finds, which import-linter checks too: also those inside a function, and those for the type
checker only.

A picture leaves out an arrow if a longer way leads to the same room. The tables show every arrow.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import grimp

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
TOPS = ("server", "storage")
PACKAGES = ("protocol", "storage", "server", "buzz_client")
OUT_OF_DATE = "docs/architecture.md is not what the imports say. Run: python -m docs.rooms\n"

Reach = dict[str, set[str]]


class Rooms(NamedTuple):
    """Some rooms, in the order of their names, and what each imports."""

    names: list[str]
    imports: Reach

    @property
    def arrows(self) -> int:
        return sum(len(imported) for imported in self.imports.values())

    @property
    def circles(self) -> list[list[str]]:
        """The circles, each with its rooms in the order of their names."""
        reached = _reached(self.imports)
        found = {
            tuple(other for other in self.names if other in reached[room] and room in reached[other])
            for room in self.names
        }
        return sorted(list(circle) for circle in found if len(circle) > 1)


def _reached(imports: Reach) -> Reach:
    """For each room, every room that a way of one arrow or more leads to."""
    reached = {room: set(imported) for room, imported in imports.items()}
    for between in imports:
        for room in imports:
            if between in reached[room]:
                reached[room] |= reached[between]
    return reached


def graph_of(root: Path) -> grimp.ImportGraph:
    """Read the imports of the checkout at ``root``."""
    sys.path[:0] = [str(root), str(root / "client" / "python")]
    try:
        return grimp.build_graph(*PACKAGES, cache_dir=None)
    finally:
        del sys.path[:2]


def inside(graph: grimp.ImportGraph, top: str) -> Rooms:
    """Return the rooms directly inside the package ``top``."""
    return _rooms(graph, {module: _room(module, top) for module in graph.modules if module.startswith(f"{top}.")})


def around_server(graph: grimp.ImportGraph) -> Rooms:
    """Return the rooms of the server, with the other packages as one room each."""
    return _rooms(graph, {module: _room(module, "server") for module in graph.modules if module != "server"})


def _room(module: str, top: str) -> str:
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] if first == top else first


def _rooms(graph: grimp.ImportGraph, room_of: dict[str, str]) -> Rooms:
    names = sorted(set(room_of.values()))
    imports: Reach = {name: set() for name in names}
    for module, room in room_of.items():
        imported = {room_of[each] for each in graph.find_modules_directly_imported_by(module) if each in room_of}
        imports[room] |= imported - {room}
    return Rooms(names, imports)


def picture(rooms: Rooms) -> str:
    """Return the rooms as a Mermaid flowchart, without the arrows that a longer way makes needless."""
    reached = _reached(rooms.imports)
    lines = ["```mermaid", "flowchart TD"]
    for room in rooms.names:
        longer = set().union(*(reached[each] for each in rooms.imports[room]))
        lines += [f"    {room} --> {each}" for each in sorted(rooms.imports[room] - longer)]
    return "\n".join([*lines, "```"])


def table(root: Path, top: str, rooms: Rooms) -> str:
    """Return a row for each room: what its docstring says of it, and every room of the same package it imports."""
    rows = ["| room | what it holds | imports |", "|---|---|---|"]
    for room in rooms.names:
        imported = ", ".join(f"`{each}`" for each in sorted(rooms.imports[room])) or "none"
        rows.append(f"| `{room}` | {_first_line(root / top, room)} | {imported} |")
    return "\n".join(rows)


def _first_line(folder: Path, room: str) -> str:
    module = folder / room / "__init__.py" if (folder / room).is_dir() else folder / f"{room}.py"
    text = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
    return text.partition("\n")[0]


def drawn(graph: grimp.ImportGraph) -> dict[str, str]:
    """Return what stands between the page's markers, by the name of the marker."""
    parts = {
        "picture of server": picture(around_server(graph)),
        "picture of storage": picture(inside(graph, "storage")),
    }
    return parts | {f"table of {top}": table(ROOT, top, inside(graph, top)) for top in TOPS}


def filled(page: str, parts: dict[str, str]) -> str:
    """Return the page with each part between its markers. Raises ValueError for a marker that the page lacks."""
    for name, text in parts.items():
        start, end = f"<!-- {name}: made by python -m docs.rooms -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"docs/architecture.md lacks the lines {start.strip()} and {end}")
        page = f"{before}{start}{text}\n{end}{after}"
    return page


def figures(root: Path) -> Iterable[str]:
    """Yield the counts as lines for a reader: those of each package, with the rooms of each circle."""
    graph = graph_of(root)
    for top in TOPS:
        rooms = inside(graph, top)
        yield f"{top}: {len(rooms.names)} rooms, {rooms.arrows} arrows, {len(rooms.circles)} circles"
        yield from (f"  circle of {len(circle)}: {', '.join(circle)}" for circle in rooms.circles)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m docs.rooms", description="Draw the rooms in docs/architecture.md.")
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if the page is out of date")
    parser.add_argument("--figures", action="store_true", help="print how many rooms, arrows and circles there are")
    parser.add_argument("--root", type=Path, default=ROOT, help="with --figures: the checkout to count")
    options = parser.parse_args(arguments)
    if options.figures:
        sys.stdout.writelines(f"{line}\n" for line in figures(options.root.resolve()))
        return 0
    page = PAGE.read_text("utf-8")
    made = filled(page, drawn(graph_of(ROOT)))
    if options.check:
        sys.stderr.write(OUT_OF_DATE if made != page else "")
        return int(made != page)
    PAGE.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
