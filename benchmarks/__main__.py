"""``python -m benchmarks [suite ...] [--smoke] [--output FILE]``."""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import pkgutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

import benchmarks
from benchmarks.measure import REAL, SMOKE, Report, Row, Section, measured
from poolapp import devservices

OUTPUT = Path(__file__).with_name("latest.json")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure poolapp side by side with its peers, in alternating rounds.",
    )
    parser.add_argument("suites", nargs="*", metavar="suite", help="which ones; all by default")
    parser.add_argument("--smoke", action="store_true", help="tiny rounds: does everything run?")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the JSON goes")
    options = parser.parse_args(arguments)
    try:
        suites = find_suites()
    except ImportError as error:
        parser.exit(1, f"{error}. The peers come with: pip install -e '.[dev]'\n")
    for name in options.suites:
        if name not in suites:
            parser.error(f"there is no suite {name!r}; there are: {', '.join(suites)}")
    chosen = {name: suites[name] for name in options.suites or suites}
    report = Report()
    console = Console()
    try:
        with servers(chosen) as urls, one_process_each() as processes:
            effort = SMOKE if options.smoke else REAL
            for name in chosen:
                found = processes.submit(measured, name, effort, urls).result()
                report.include(found)
                for section in found.sections:
                    console.print(table(section, found))
                    for note in section.notes:
                        console.print(note, style="yellow", markup=False)
    except devservices.DevServiceError as error:
        console.print(f"The servers can't be started: {error}", style="red", markup=False)
        return 1
    options.output.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    console.print(f"Written to {options.output}", markup=False)
    return 0


def find_suites() -> dict[str, ModuleType]:
    """The modules of this package that are suites, by name."""
    found = {}
    for each in pkgutil.iter_modules(benchmarks.__path__):
        if each.name != "__main__":
            module = importlib.import_module(f"benchmarks.{each.name}")
            if hasattr(module, "SERVICES"):
                found[each.name] = module
    return found


def one_process_each() -> ProcessPoolExecutor:
    """So that no suite meets the heap that another has left, or its models."""
    return ProcessPoolExecutor(
        max_workers=1, max_tasks_per_child=1, mp_context=multiprocessing.get_context("spawn")
    )


@contextmanager
def servers(suites: dict[str, ModuleType]) -> Iterator[dict[str, str]]:
    """The servers that these suites need, in a folder of their own, gone afterwards."""
    names = sorted({name for suite in suites.values() for name in suite.SERVICES})
    with tempfile.TemporaryDirectory(prefix="poolapp-bench-") as folder:
        try:
            yield devservices.up(*names, folder=Path(folder)) if names else {}
        finally:
            devservices.down(*names, folder=Path(folder), discard=True)


def table(section: Section, report: Report) -> Table:
    made = Table(
        title=section.title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    made.add_column("", no_wrap=True)
    for column in ("median", "min", "max", section.ratio_title, "goal"):
        made.add_column(column, justify="right", no_wrap=True)
    for row in section.rows:
        figure = report.figures[row.key]
        ratio = f"x {report.figures[row.ratio].median:.3g}" if row.ratio else ""
        numbers = (number(value) for value in (figure.median, figure.min, figure.max))
        made.add_row(row.label, *numbers, ratio, verdict(row, report))
    return made


def verdict(row: Row, report: Report) -> Text:
    """The goal that is set for the row's figure or its ratio, green where it is met."""
    for key in (row.key, row.ratio):
        if key in report.goals:
            goal = report.goals[key]
            style = "green" if goal.met(report.figures[key].median) else "red"
            return Text(f"{goal.sign} {goal.bound:g}", style=style)
    return Text("")


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
