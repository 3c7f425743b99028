"""Kafka -> ingest, with loads of unusual shape: many partitions, many days, large messages.

python -m bench.shapes [--shapes days,large] [--share 0.1]
"""

import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Annotated

import typer

from bench.engines import ENGINES, OURS
from bench.events import FIRST_DAY, message, user_events
from bench.measure import Run, measure
from bench.place import Place
from bench.produce import PARTITIONS, Expected
from bench.services import console, services
from generator.messages import Message
from generator.progress import Progress
from generator.publish import Publisher, connect, create_topics
from lakehouse.errors import LakehouseError, reported
from lakehouse.stack.home import Home

# Counted back from FIRST_DAY, which is 18,993 days after 1970 began; and forth from there.
FIRST_NUMBER, DAYS = -18_990, 20_000
LARGE_BYTES = 100_000
(INGEST,) = (engine for engine in ENGINES if engine.name == OURS)


def ordinary(count: int) -> Iterator[dict]:
    return user_events(count, seed=1)


def of_many_days(count: int) -> Iterator[dict]:
    """Each on one of DAYS, at random."""
    random = Random(2)
    for event in ordinary(count):
        day = timedelta(days=FIRST_NUMBER + random.randrange(DAYS))
        yield event | {"event_timestamp": FIRST_DAY + day}


def large(count: int) -> Iterator[dict]:
    """Add text that compresses to half its size."""
    random = Random(3)
    for event in ordinary(count):
        filling = random.randbytes(LARGE_BYTES // 2).hex()
        yield event | {"event_data": event["event_data"] | {"filling": filling}}


@dataclass(frozen=True)
class Shape:
    messages: int
    events: Callable[[int], Iterator[dict]] = ordinary
    partitions: int = PARTITIONS


SHAPES = {
    "partitions": Shape(1_000_000, partitions=1000),
    "days": Shape(2_000_000, of_many_days),
    "large": Shape(100_000, large),
}


def run(name: str, share: float) -> Run:
    shape = SHAPES[name]
    with services("bench-shapes-", ["spark", "kafka"]) as home:
        place = Place(home, name)
        expected = produce(home, shape, int(shape.messages * share))
        return measure(INGEST, place, expected)


def produce(home: Home, shape: Shape, count: int) -> Expected:
    servers = home.exports["KAFKA_BOOTSTRAP_SERVERS"]
    create_topics(connect(servers), shape.partitions, replicas=1)
    # The first message of each partition takes the broker some 15 ms.
    publisher, expected = Publisher(servers, delivery_seconds=300), Expected()
    with Progress(count) as progress:
        publisher.send(_counted(shape.events(count), expected), progress)
        publisher.finish()
    return expected


def _counted(events: Iterator[dict], expected: Expected) -> Iterator[Message]:
    for event in events:
        made = message(event)
        expected.messages += 1
        expected.rows += 1
        expected.amount += event["event_data"]["price"] * event["event_data"]["quantity"]
        expected.value_bytes += len(made.value or b"")
        yield made


def line(done: Run) -> str:
    if done.failure or not done.cost:
        return f"failed: {done.failure}"
    tables = ", ".join(
        f"{name} {each.files:,} files in {each.snapshots} commits"
        for name, each in done.tables.items()
        if each.files
    )
    cost = done.cost
    return (
        f"{done.events:,} messages in {cost.wall_seconds:.1f} s, {cost.cpu_seconds:.1f} CPU-s; "
        f"peak {cost.peak_worker_bytes / 1e6:,.0f} MB in a worker, "
        f"{cost.peak_rss_bytes / 1e9:.2f} GB in all; {tables}"
    )


def main(
    shapes: Annotated[str, typer.Option(help="Names with commas between them.")] = ",".join(SHAPES),
    share: Annotated[float, typer.Option(help="Of the messages of each.", min=0.0001, max=1)] = 1,
) -> None:
    """Exit code 1 if a run failed or its result is wrong, never for a number."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: terminated; all is stopped"))
    chosen = shapes.split(",")
    if unknown := set(chosen) - set(SHAPES):
        raise LakehouseError(
            f"There is no shape {', '.join(unknown)}", f"Choose of {', '.join(SHAPES)}"
        )
    is_right = True
    for name in chosen:
        done = run(name, share)
        console.print(f"{name}: {line(done)}", markup=False, soft_wrap=True)
        is_right = is_right and not done.failure
    if not is_right:
        sys.exit("error: not every run gave the right result; see above")


if __name__ == "__main__":
    with reported():
        typer.run(main)
