"""`python -m bench`: run the rows, show the table, write `results.json` and `report.html`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench import against, machine, page, results, table
from bench.context import Bench
from bench.cores import Cores, choose_cores, pin_to
from bench.figures import Sample
from bench.process import REPOSITORY, BenchFault
from bench.registry import Row, all_rows

DEFAULT_REPEATS = 3
PRINTED_COLUMNS = 170  # if the table is written to a file


def main() -> int:
    """Return 1 if a row could not be measured; a missed limit is reported, but is no error."""
    known = all_rows()
    options = _options(known)
    wanted = [known[name] for name in options.row or known]
    if options.markdown:
        before = results.read(options.before).rows if options.before else {}
        print(table.markdown(results.in_order(results.read(options.results), known).rows.values(), before))
        return 0
    options.work.mkdir(parents=True, exist_ok=True)
    cores = choose_cores()
    pin_to(cores.load)
    about = dict(machine.describe(cores, options.work))
    if options.against:
        return _compare(options, cores, about)
    found = results.read(options.results)
    with _progress() as progress:
        task = progress.add_task("", total=len(wanted) * options.repeat)
        for row in wanted:
            say = partial(_say, progress, task, row.name)
            bench = Bench(options.work.resolve(), cores, options.quick, say)
            samples, fault = _measure(row, bench, options.repeat, lambda: progress.advance(task))
            found.rows[row.name] = results.of_row(row, samples, fault, about, quick=options.quick)
            found = results.in_order(found, known)
            results.write(options.results, found)
    options.report.write_text(page.page(found))
    shown = [found.rows[row.name] for row in wanted]
    console = Console(width=None if sys.stdout.isatty() else PRINTED_COLUMNS)
    console.print(table.table(shown))
    for outcome in shown:
        if outcome.fault:
            console.print(f"{outcome.row} was not measured: {outcome.fault}", style="red", markup=False)
    return 1 if any(outcome.fault for outcome in shown) else 0


def _compare(options: argparse.Namespace, cores: Cores, about: Mapping[str, str]) -> int:
    """Compare this working tree with a commit; return 1 if a build could not be measured."""
    console = Console(width=None if sys.stdout.isatty() else PRINTED_COLUMNS)
    rows = [name for name in options.row or against.ROWS if name in against.ROWS]
    if not rows:
        console.print(f"--against compares only these rows: {', '.join(against.ROWS)}")
        return 2
    bench = Bench(options.work.resolve(), cores, options.quick, lambda text: console.print(text, style="dim"))
    try:
        other = against.build_of(options.against, options.work.resolve())
        pairs = {row: against.compare(row, bench, other, options.repeat) for row in rows}
    except (BenchFault, OSError, ExceptionGroup) as fault:
        console.print("not measured: " + "; ".join(map(str, _leaves(fault))), style="red", markup=False)
        return 1
    console.print(against.table(options.against, pairs, about))
    return 0


def _options(known: Iterable[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Buzz against its bars.")
    parser.add_argument("--row", action="append", choices=list(known), help="only this row; may be given again")
    parser.add_argument(
        "--against", metavar="COMMIT", help="compare processor time, memory and delays with this commit's build"
    )
    parser.add_argument("--repeat", type=int, default=DEFAULT_REPEATS, help="repeats; medians are shown")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that the bench runs, measures nothing")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "var" / "bench", help="data directories and logs")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "bench" / "results.json")
    parser.add_argument("--report", type=Path, default=REPOSITORY / "bench" / "report.html")
    parser.add_argument("--markdown", action="store_true", help="measure nothing: print the results as a page's table")
    parser.add_argument("--before", type=Path, help="with --markdown: the results of an earlier run, to stand beside")
    return parser.parse_args()


def _progress() -> Progress:
    # No automatic refresh: a thread that redraws would take time from the load.
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), auto_refresh=False)


def _say(progress: Progress, task: TaskID, row: str, text: str) -> None:
    progress.update(task, description=f"{row}: {text}", refresh=True)


def _measure(row: Row, bench: Bench, repeats: int, advance: Callable[[], None]) -> tuple[list[Sample], str]:
    """Return the samples of all repeats, and the error if there was one."""
    samples: list[Sample] = []
    try:
        for _ in range(repeats):
            samples.append(uvloop.run(_once(row, bench)))
            advance()
    except (BenchFault, OSError, ExceptionGroup) as fault:
        return samples, "; ".join(f"{type(leaf).__name__}: {leaf}" for leaf in _leaves(fault))
    return samples, ""


async def _once(row: Row, bench: Bench) -> Sample:
    """Run one repeat. An exception in a client's callback makes the figure worthless, so it is an error too."""
    broken: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: broken.append(f"{context.get('message')}: {context.get('exception')!r}")
    )
    gc.collect()
    gc.freeze()
    sample = await row.measure(bench)
    if broken:
        raise BenchFault(f"{len(broken)} errors in the load, the first: {broken[0]}")
    return sample


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


if __name__ == "__main__":
    sys.exit(main())
