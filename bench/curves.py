"""Kafka -> ingest, with more and other messages, cores and tables: how its cost grows.

python -m bench.curves [--unit 1000000] [--curves backlog,cores] [--name curves]
"""

import signal
import sys
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import typer

from bench import results
from bench.chart import Bar, page
from bench.engines import ENGINES, OURS
from bench.measure import Run, measure
from bench.place import Place
from bench.produce import PARTITIONS, produce
from bench.services import console, services
from lakehouse.errors import LakehouseError, reported

(INGEST,) = (engine for engine in ENGINES if engine.name == OURS)


@dataclass(frozen=True)
class Point:
    """One run of ingest. Backlog and what was taken in before are in units of messages."""

    curve: str
    label: str
    backlog: int = 1
    before: int = 0
    partitions: int = PARTITIONS
    bad_share: float = 0
    cores: str = "*"


POINTS = (
    *(Point("backlog", f"{size} units", backlog=size) for size in (0, 1, 4, 16)),
    *(Point("table", f"{rows} units in it", before=rows) for rows in (0, 10, 50)),
    *(Point("partitions", str(number), partitions=number) for number in (1, 2, 4, 8)),
    *(Point("bad", f"{share:.0%}", bad_share=share) for share in (0, 0.01, 0.1, 1)),
    *(Point("cores", f"local[{cores}]", cores=str(cores)) for cores in (1, 2)),
)
TITLES = {
    "backlog": "messages that wait",
    "table": "rows that are there already",
    "partitions": "partitions of the topic",
    "bad": "messages that break the contract",
    "cores": "cores that Spark may use",
}


def run(point: Point, unit: int) -> Run:
    """Measure on services of its own, so that the disk holds one topic at a time."""
    master = f"local[{point.cores},4]"
    command = ["spark-submit", "--master", master, "jobs/ingest.py"]
    engine = replace(INGEST, command=lambda _place: command)
    with services("bench-curves-", ["spark", "kafka"]) as home:
        place = Place(home, point.curve)
        before = point.before * unit
        expected = produce(home, before, point.partitions, point.bad_share)
        if before and (failure := measure(engine, place, expected).failure):
            return Run(engine.name, 0, failure)
        produce(home, point.backlog * unit, point.partitions, point.bad_share, expected)
        return measure(engine, place, expected, messages_before=before)


def drawn(found: list[dict[str, Any]], unit: int) -> str:
    panels = []
    for curve, title in TITLES.items():
        bars = [_bar(each) for each in found if each["curve"] == curve and "failure" not in each]
        if bars:
            panels.append((f"Events per CPU-second by {title} (unit: {unit:,})", bars))
    return page(panels)


def _bar(each: dict[str, Any]) -> Bar:
    note = f", {each['cpu_seconds']:.0f} CPU-s, {each['peak_rss_bytes'] / 1e9:.1f} GB"
    rate = each[results.RATE]
    return Bar(each["label"], rate, rate, rate, note, is_ours=True)


def main(
    unit: Annotated[int, typer.Option(min=1000, help="Messages.")] = 1_000_000,
    curves: Annotated[str, typer.Option(help="Names with commas between them.")] = ",".join(TITLES),
    name: Annotated[str, typer.Option(help="Of the files in bench/results.")] = "curves",
) -> None:
    """Exit code 1 if a run failed or its result is wrong, never for a number."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: terminated; all is stopped"))
    chosen = curves.split(",")
    if unknown := set(chosen) - set(TITLES):
        raise LakehouseError(
            f"There is no curve {', '.join(unknown)}", f"Choose of {', '.join(TITLES)}"
        )
    found = []
    machine = results.machine()
    for point in (point for point in POINTS if point.curve in chosen):
        done = run(point, unit)
        console.print(f"{point.curve}, {point.label}: {results.line(done)}", markup=False)
        found.append(asdict(point) | done.as_dict())
    path = results.save(
        name, {"machine": machine, "unit": unit, "points": found}, drawn(found, unit)
    )
    console.print(f"written: {path} and {path.with_suffix('.svg').name}", soft_wrap=True)
    if any("failure" in each for each in found):
        sys.exit("error: not every run gave the right result; see above")


if __name__ == "__main__":
    with reported():
        typer.run(main)
