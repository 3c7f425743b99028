"""A temporary LAKEHOUSE_HOME -> the services and the session of a bench, each as a context."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession
from rich.console import Console

from lakehouse.stack import artifacts, class_archive, processes
from lakehouse.stack.home import Home, StackSettings
from lakehouse.stack.services import Kafka, ObjectStore

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@contextmanager
def broker(home: Home) -> Iterator[str]:
    """The stack's Kafka and nothing else of it; stopped whatever happens."""
    home.move_taken_ports(Kafka.ports)
    try:
        processes.start(Kafka(home), console.print)
        yield home.exports["KAFKA_BOOTSTRAP_SERVERS"]
    finally:
        processes.stop([Kafka(home)], console.print)


@contextmanager
def store(home: Home) -> Iterator[None]:
    home.move_taken_ports(ObjectStore.ports)
    try:
        processes.start(ObjectStore(home), console.print)
        yield
    finally:
        processes.stop([ObjectStore(home)], console.print)


@contextmanager
def services(prefix: str, distributions: list[str]) -> Iterator[Home]:
    """An empty broker and an empty store, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        home = Home(StackSettings(home=Path(folder), catalog_uri=None))
        artifacts.fetch(home.cache, distributions)
        class_archive.make(home, console.print)
        with broker(home), store(home):
            yield home


@contextmanager
def session(home: Home) -> Iterator[SparkSession]:
    home.write_spark_conf()
    os.environ.update(home.environment)
    spark = SparkSession.builder.master("local[2]").appName("bench").getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()
