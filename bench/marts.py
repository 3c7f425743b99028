"""Staged events -> marts by dbt on Trino: what a build, a late event, moved products and one
user's day cost.

python -m bench.marts [--sizes 1000000,10000000] [--a-day 70000] [--ingests 1] [--days-back 10]
"""

import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from bench import results
from bench.chart import Bar, page
from bench.events import A_DAY
from bench.services import console, stack
from bench.warehouse import Built, Warehouse
from lakehouse.errors import reported


def line(built: Built) -> str:
    days = {
        mart: "all" if found is None else len(found) for mart, found in built.restated_days.items()
    }
    marts = ", ".join(f"{name} {built.models.get(name, 0):.1f}" for name in days)
    return (
        f"{built.rows:,} rows {built.tables}, {built.step}: {built.wall_seconds:.1f} s, "
        f"{built.statements} statements "
        f"(CPU-s: Trino {built.trino_cpu_seconds:.1f}, dbt {built.dbt_cpu_seconds:.1f}); "
        f"{marts}; days {days}; written {built.written}"
    )


def measured(
    warehouse: Warehouse, rows: int, days_back: int
) -> Iterator[tuple[list[Built], dict[str, Any]]]:
    """Measure the tables as ingest leaves them, and again if there is something to compact."""
    warehouse.fill(rows)
    yield _measured_as(warehouse, rows, days_back, "as written")
    files = warehouse.files()
    warehouse.run("compact", "spark-submit", "jobs/compact.py")
    if warehouse.files() != files:
        yield _measured_as(warehouse, rows, days_back, "compacted")


def _measured_as(
    warehouse: Warehouse, rows: int, days_back: int, tables: str
) -> tuple[list[Built], dict[str, Any]]:
    full = _built(warehouse, tables, "full", "--full-refresh")
    warehouse.send_late(days_back)
    late = _built(warehouse, tables, "one late event")
    warehouse.move_products()
    moved = _built(warehouse, tables, "nine products moved")
    nothing = _built(warehouse, tables, "nothing new")
    scan = warehouse.one_user_day() | {"table_rows": rows, "tables": tables}
    scan["reads"] = warehouse.reads()
    console.print(f"one user's day, {rows:,} rows {tables}: {scan}", markup=False)
    return [full, late, moved, nothing], scan


def _built(warehouse: Warehouse, tables: str, step: str, *options: str) -> Built:
    built = warehouse.build(tables, step, *options)
    console.print(line(built), markup=False, soft_wrap=True)
    return built


def drawn(builds: list[Built]) -> str:
    panels = []
    for step in dict.fromkeys(built.step for built in builds):
        bars = [
            Bar(f"{each.rows:,} {each.tables}", wall, wall, wall, " s", is_ours=True)
            for each in builds
            if each.step == step
            for wall in (each.wall_seconds,)
        ]
        panels.append((f"dbt build, tests included: {step}", bars))
    return page(panels)


def main(
    sizes: Annotated[str, typer.Option(help="Rows of staging.")] = "1000000,10000000",
    a_day: Annotated[int, typer.Option(min=1, help="Events.")] = A_DAY,
    ingests: Annotated[int, typer.Option(min=1, help="That bring a size's events in.")] = 1,
    days_back: Annotated[int, typer.Option(min=1, help="Of the late event.")] = 10,
    name: Annotated[str, typer.Option(help="Of the files in bench/results.")] = "marts",
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: terminated; all is stopped"))
    machine = results.machine()
    builds: list[Built] = []
    scans: list[dict[str, Any]] = []
    with stack("bench-marts-") as home:
        warehouse = Warehouse(home, a_day, ingests)
        for rows in map(int, sizes.split(",")):
            for built, scan in measured(warehouse, rows, days_back):
                builds += built
                scans.append(scan)
    found = {
        "machine": machine,
        "a_day": a_day,
        "ingests": ingests,
        "days_back": days_back,
        "builds": [asdict(each) for each in builds],
        "one_user_day": scans,
    }
    path = results.save(name, found, drawn(builds))
    console.print(f"written: {path} and {path.with_suffix('.svg').name}", soft_wrap=True)


if __name__ == "__main__":
    with reported():
        typer.run(main)
