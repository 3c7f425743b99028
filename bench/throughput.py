"""Kafka -> ingest and its peers, each on empty tables of its own: what an event costs.

python -m bench.throughput [--events 1000000] [--rounds 1] [--engines A,B] [--name NAME]
"""

import signal
import sys
from random import Random
from typing import Annotated

import typer

from bench import results
from bench.engines import ENGINES, OURS, Engine
from bench.measure import Run, measure
from bench.place import Place
from bench.produce import Expected, produce
from bench.services import console, services
from lakehouse.errors import LakehouseError, reported
from lakehouse.stack.home import Home

ALL = ",".join(engine.name for engine in ENGINES)


def run_all(home: Home, engines: list[Engine], expected: Expected, rounds: int) -> list[Run]:
    """Run engines in another order each round, so that none always follows the same one."""
    runs = []
    for number in range(rounds):
        for engine in Random(number).sample(engines, len(engines)):
            place = Place(home, f"{engine.name}-{number}")
            run = measure(engine, place, expected, number)
            place.remove()
            console.print(results.line(run), markup=False, soft_wrap=True)
            runs.append(run)
    return runs


def chosen(names: str) -> list[Engine]:
    known = {engine.name: engine for engine in ENGINES}
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise LakehouseError(
            f"There is no engine {', '.join(unknown)}", f"Choose of {', '.join(known)}"
        )
    return [known[name] for name in names.split(",")]


def main(
    events: Annotated[int, typer.Option(min=1000)] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1)] = 1,
    engines: Annotated[str, typer.Option(help="Names with commas between them.")] = ALL,
    name: Annotated[str, typer.Option(help="Of the files in bench/results.")] = "latest",
) -> None:
    """Exit code 1 if an engine failed or its result is wrong, never for a number."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: terminated; all is stopped"))
    compared = chosen(engines)
    machine = results.machine()
    with services("bench-throughput-", ["spark", "kafka", "connect"]) as home:
        runs = run_all(home, compared, produce(home, events), rounds)
    names = [engine.name for engine in compared]
    found = results.summarized(sorted(runs, key=lambda run: names.index(run.engine)), OURS)
    console.print(results.table(found))
    console.print(f"ratio: {OURS} to the engine, in events per CPU-second")
    written = {"machine": machine, "engines": found, "rounds": [run.as_dict() for run in runs]}
    path = results.save(name, written, results.chart(found, OURS))
    console.print(f"written: {path} and {path.with_suffix('.svg').name}", soft_wrap=True)
    if any(run.failure for run in runs):
        sys.exit("error: not every engine gave the right result; see above")


if __name__ == "__main__":
    with reported():
        typer.run(main)
