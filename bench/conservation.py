"""Kafka -> ingest with and without raw and the duplicate check, then the audit: what each costs.

.venv/bin/python bench/conservation.py [--rows 10000000] [--events 1000000] [--rounds 2]
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from statistics import median
from typing import Annotated
from unittest.mock import patch

import numpy as np
import psutil
import typer
from decode import Cost
from events import message, user_events
from pyspark.sql import SparkSession
from rich.box import SIMPLE
from rich.table import Table as Shown
from services import broker, console, session, store, temporary_home

from generator.progress import Progress
from generator.publish import Publisher, connect, create_topics
from lakehouse.audit.run import audit
from lakehouse.contracts.topics.user_events import CONTRACT as USER_EVENTS
from lakehouse.errors import reported
from lakehouse.iceberg.catalog import current_snapshot
from lakehouse.ingest import task as intake
from lakehouse.ingest import writer as write
from lakehouse.ingest.run import ingest
from lakehouse.ingest.task import BatchTasks, TaskResult
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.messages.rows import raw_columns
from lakehouse.settings import Settings
from lakehouse.stack.home import Home
from lakehouse.tables.definitions import tables_of


class Part(BatchTasks):
    """Leaves things out within tasks, to which the class goes by value."""

    has_raw = True
    has_check = True

    def run_one(self, ranges: list[OffsetRange], budget: int) -> TaskResult:
        with ExitStack() as left_out:
            if not self.has_raw:
                nothing = lambda contract, records: raw_columns(contract, records.slice(0, 0))  # noqa: E731
                left_out.enter_context(patch.object(intake, "raw_columns", nothing))
            if not self.has_check:
                none = lambda ids: np.array([], np.int64)  # noqa: E731
                left_out.enter_context(patch.object(intake, "event_keys", none))
            return super().run_one(ranges, budget)


class WithoutRaw(Part):
    has_raw = False


class WithoutCheck(Part):
    has_check = False


class WithoutBoth(Part):
    has_raw = has_check = False


VARIANTS: dict[str, type[BatchTasks]] = {
    "everything": BatchTasks,
    "without raw": WithoutRaw,
    "without duplicate check": WithoutCheck,
    "without both": WithoutBoth,
}


def produce(servers: str, first: int, count: int, seed: int) -> None:
    publisher = Publisher(servers)
    with Progress(count) as progress:
        events = user_events(count, seed, first)
        publisher.send(map(message, events), progress)
        publisher.finish()


class Workers(threading.Thread):
    """CPU seconds of a JVM's Python workers, also of those that have ended, whom nobody waits for.

    A worker may have spent a tenth of a second more.
    """

    def __init__(self, jvm: psutil.Process):
        super().__init__(daemon=True)
        self._jvm = jvm
        self._seen: dict[psutil.Process, float] = {}
        self._turn = threading.Lock()

    def seconds(self) -> float:
        with self._turn:
            for process in self._jvm.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    self._seen[process] = sum(process.cpu_times()[:2])
            return sum(self._seen.values())

    def run(self) -> None:
        while True:
            self.seconds()
            time.sleep(0.1)


class Bench:
    def __init__(self, spark: SparkSession, home: Home):
        self._spark = spark
        self._settings = Settings()
        self._home = home
        self._jvm = psutil.Process(spark._jvm.java.lang.ProcessHandle.current().pid())  # type: ignore
        self._workers = Workers(self._jvm)
        self._workers.start()

    def cost(self, action: Callable[[], object]) -> Cost:
        """Of Spark's JVM with its Python workers, and of this process as the driver."""
        me = psutil.Process()
        before, started = sum(self._jvm.cpu_times()[:2]), time.monotonic()
        mine, workers = sum(me.cpu_times()[:2]), self._workers.seconds()
        action()
        wall = time.monotonic() - started
        jvm = sum(self._jvm.cpu_times()[:2]) - before
        python = self._workers.seconds() - workers + sum(me.cpu_times()[:2]) - mine
        return Cost(jvm, python, wall)

    def ingest(self, variant: str = "everything") -> None:
        with patch.object(write, "BatchTasks", VARIANTS[variant]):
            ingest(self._spark, self._settings)

    def audit(self, is_full: bool) -> None:
        result = audit(self._spark, self._settings, is_full)
        console.print(f"{result.verdict}, {'all' if is_full else 'new'} offsets")

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Afterwards the tables are as they are now, frontiers included."""
        before = [(table, current_snapshot(self._spark, table)) for table in tables_of(USER_EVENTS)]
        yield
        for table, snapshot in before:
            if current_snapshot(self._spark, table) != snapshot:
                self._spark.sql(
                    "CALL lake.system.rollback_to_snapshot(:table, :snapshot)",
                    {"table": table.identifier, "snapshot": snapshot},
                )

    def measure(self, rounds: int, events: int, rows: str) -> None:
        shown = Shown(f"rows in the table: {rows}", box=SIMPLE)
        for heading in ("CPU us/event", "min..max", "JVM", "Python", "events per CPU-s", "wall s"):
            shown.add_column(heading, justify="right")
        costs: dict[str, list[Cost]] = {name: [] for name in VARIANTS}
        for number in range(rounds):
            names = list(VARIANTS) if number % 2 else list(reversed(VARIANTS))
            for name in names:
                with self.undone():
                    costs[name].append(self.cost(lambda name=name: self.ingest(name)))
        for name, found in costs.items():
            cpu = [each.cpu / events * 1e6 for each in found]
            jvm, python, wall = (median(each) for each in zip(*found, strict=True))
            shown.add_row(
                name,
                f"{median(cpu):.1f}",
                f"{min(cpu):.1f}..{max(cpu):.1f}",
                f"{jvm / events * 1e6:.1f}",
                f"{python / events * 1e6:.1f}",
                f"{1e6 / median(cpu):,.0f}",
                f"{wall:.1f}",
            )
        console.print(shown)


def main(
    rows: Annotated[int, typer.Option(min=1000, help="In the table, beside none.")] = 10_000_000,
    events: Annotated[int, typer.Option(min=100, help="Of each measured run.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """What conservation costs: CPU time of an ingest by its parts, and time of the audit."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: terminated; all is stopped"))
    with (
        temporary_home("bench-conservation-") as home,
        broker(home) as servers,
        store(home),
        session(home) as spark,
    ):
        admin = connect(servers)
        create_topics(admin, partitions=4, replicas=1)
        bench = Bench(spark, home)
        # One message, so that each table has a snapshot to go back to; it warms Spark up too.
        produce(servers, 0, 1, seed=1)
        bench.ingest()
        # As many days, and the same ones, whatever is in the table.
        measured = max(0, rows - events)
        produce(servers, measured, events, seed=2)
        with bench.undone():
            bench.ingest()
        bench.measure(rounds, events, "none")
        bench.ingest()
        bench.audit(is_full=False)
        produce(servers, 0, rows - events, seed=3)
        filled = bench.cost(bench.ingest)
        console.print(f"{rows - events:,} more: {filled.cpu:.0f} CPU-s, {filled.wall:.0f} s")
        report_audit("full", rows, bench.cost(lambda: bench.audit(is_full=True)))
        produce(servers, measured, events, seed=4)
        bench.measure(rounds, events, f"{rows:,}")
        bench.ingest()
        report_audit("incremental", events, bench.cost(lambda: bench.audit(is_full=False)))


def report_audit(kind: str, messages: int, cost: Cost) -> None:
    console.print(f"audit, {kind}, {messages:,} messages: {cost.cpu:.1f} CPU-s, {cost.wall:.1f} s")


if __name__ == "__main__":
    with reported():
        typer.run(main)
