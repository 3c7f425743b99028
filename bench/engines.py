"""What is compared: how each engine is started on a place of its own, and where its rows are."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.peers import kafka_connect
from bench.peers.table import DATA, NAME, catalog, create
from bench.place import Place, paths, tally
from bench.produce import Expected
from lakehouse.contracts.topics.user_events import CONTRACT as USER_EVENTS
from lakehouse.stack import class_archive
from lakehouse.stack.home import REPOSITORY
from lakehouse.tables.definitions import raw_table, staging_table

OURS = "ingest"
PEERS = "bench/peers"


@dataclass(frozen=True)
class Engine:
    """A command on an empty place; `prepare` comes before, and is not measured."""

    name: str
    command: Callable[[Place], list[str]]
    prepare: Callable[[Place], None]
    table: str = NAME
    # The struct that price and quantity are in.
    parent: str | None = DATA
    # One that goes on until it is told to end, which it is when all rows are committed.
    is_endless: bool = False

    @property
    def exit_codes(self) -> tuple[int, ...]:
        """Java's, when it was told to end, is 143."""
        return (0, 143) if self.is_endless else (0,)

    def problems(self, place: Place, expected: Expected) -> list[str]:
        """Compare the result with what was produced; pyarrow reads the files."""
        files = paths(place.table(self.table))
        rows, amount = tally(files, place.store, self.parent)
        found = [("rows", rows, expected.rows), ("price * quantity", amount, expected.amount)]
        if self.name == OURS:
            found.append(("bytes in raw", raw_bytes(place), expected.value_bytes))
        return [f"{what}: {has} instead of {wants}" for what, has, wants in found if has != wants]


def raw_bytes(place: Place) -> int:
    """Sum the bytes of all values in raw."""
    total = 0
    for path in paths(place.table(raw_table(USER_EVENTS).name)):
        values = pq.read_table(path, filesystem=place.store, columns=["value"])["value"]
        total += pc.sum(pc.binary_length(values)).as_py() or 0
    return total


def _create_our_tables(place: Place) -> None:
    """Run a job that makes missing tables, and has nothing else to do here."""
    place.write_spark_conf()
    command = ["spark-submit", "jobs/dead_letters.py", "summary"]
    subprocess.run(command, cwd=REPOSITORY, env=place.environment, check=True, capture_output=True)


def _create_table(place: Place) -> None:
    place.write_spark_conf()
    warehouse = place.exports["ICEBERG_WAREHOUSE"]
    create(catalog(str(place.catalog_file), warehouse, place.file_io))


def _spark_native(place: Place) -> list[str]:
    """Give Spark the options for work that is the JVM's own; ours are made for work in Python."""
    java = f"-XX:+UseParallelGC {class_archive.options(place.class_archive)}"
    script = f"{PEERS}/spark_native.py"
    return ["spark-submit", "--driver-java-options", java, script, f"{place.path}/checkpoint"]


def _prepare_connect(place: Place) -> None:
    _create_table(place)
    kafka_connect.prepare(place)


# Commands are run in the repository, with the environment of their place.
ENGINES = (
    Engine(
        OURS,
        lambda _place: ["spark-submit", "jobs/ingest.py"],
        _create_our_tables,
        table=staging_table(USER_EVENTS).name,
        parent=None,
    ),
    Engine("kafka-connect-iceberg", kafka_connect.command, _prepare_connect, is_endless=True),
    Engine("spark-native", _spark_native, _create_table),
    Engine(
        "pyiceberg",
        lambda place: ["python", "-m", "bench.peers.pyiceberg_loop", str(place.catalog_file)],
        _create_table,
    ),
)
