"""Kafka -> ingest -> audit: what the proof of all offsets costs, and that of a part of them.

python -m bench.audit [--events 10000000]
"""

import signal
import sys
from typing import Annotated

import typer

from bench.account import Job
from bench.engines import ENGINES, OURS
from bench.measure import measure
from bench.place import Place
from bench.produce import Expected, produce
from bench.services import console, services
from lakehouse.errors import LakehouseError, reported
from lakehouse.stack.home import REPOSITORY

(INGEST,) = (engine for engine in ENGINES if engine.name == OURS)


def ingested(place: Place, expected: Expected, before: int = 0) -> None:
    run = measure(INGEST, place, expected, messages_before=before)
    if run.failure or not run.cost:
        raise LakehouseError(f"The ingest failed: {run.failure}", "Its log is in bench/results")
    console.print(f"ingest of {run.events:,}: {run.cost.cpu_seconds:.0f} CPU-s")


def audited(place: Place, messages: int, *options: str) -> None:
    words = ["spark-submit", "jobs/audit.py", *options]
    log = place.path / "logs" / "audit.log"
    cost = Job(words, REPOSITORY, place.environment, log).finish(3600)
    if cost.exit_code:
        raise LakehouseError(f"The audit failed:\n{log.read_text()[-2000:]}", "Read its log")
    console.print(
        f"audit {' '.join(options)} of {messages:,}: {cost.cpu_seconds:.0f} CPU-s, "
        f"{cost.wall_seconds:.0f} s"
    )


def main(
    events: Annotated[int, typer.Option(min=10, help="A tenth of them come later.")] = 10_000_000,
) -> None:
    """What an audit costs: of all offsets, and of those that came since the last one."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: terminated; all is stopped"))
    with services("bench-audit-", ["spark", "kafka"]) as home:
        place = Place(home, "audit")
        first = events - events // 10
        expected = produce(home, first)
        ingested(place, expected)
        audited(place, first)
        expected = produce(home, events - first, before=expected)
        ingested(place, expected, before=first)
        audited(place, events - first)
        audited(place, events, "--full")


if __name__ == "__main__":
    with reported():
        typer.run(main)
