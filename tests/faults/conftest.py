"""A lakehouse for each test that may be broken: its own topics, bucket and catalog."""

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from lakehouses import FaultHome, Job, Lakehouse, free_ports, session_of, store_of
from pyspark.sql import SparkSession

from lakehouse.settings import Settings
from lakehouse.stack import processes
from lakehouse.stack.home import Home
from lakehouse.stack.services import Kafka, ObjectStore

_numbers = count(1)


@pytest.fixture(scope="session")
def services(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultHome]:
    """A broker and a store that may be ended and started again."""
    served = _of_services(home, tmp_path_factory.mktemp("faults"))
    try:
        for service in (Kafka(served), ObjectStore(served)):
            processes.start(service, print)
        yield served
    finally:
        Job.end_all()
        processes.down(served, print)


@pytest.fixture
def own_services(home: Home, tmp_path: Path) -> Iterator[FaultHome]:
    """Ports and folders for a broker and a store of a test's own, which it starts itself."""
    served = _of_services(home, tmp_path)
    yield served
    processes.down(served, print)


def _of_services(home: Home, path: Path) -> FaultHome:
    # Spark's JVM has its credentials from the environment, once.
    like = {"ports": free_ports(list(home.ports)), "secret": os.environ["AWS_SECRET_ACCESS_KEY"]}
    return FaultHome(path / "services", "none", like)


@pytest.fixture
def lakehouse_on(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[FaultHome], Lakehouse]:
    """Makes an empty one on a broker and a store that run."""
    return lambda services: _made(spark, services, tmp_path, monkeypatch)


@pytest.fixture
def new_lakehouse(
    spark: SparkSession, services: FaultHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Lakehouse]:
    """Makes an empty one, with its topics, which the one before then no longer has."""
    return partial(_made, spark, services, tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def shared_lakehouse(
    spark: SparkSession, services: FaultHome, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lakehouse]:
    """One for all tests of a module: each goes on with what the one before has left."""
    with pytest.MonkeyPatch.context() as patch:
        yield _made(spark, services, tmp_path_factory.mktemp("shared"), patch)


def _made(
    spark: SparkSession, services: FaultHome, path: Path, monkeypatch: pytest.MonkeyPatch
) -> Lakehouse:
    like = json.loads((services.path / "stack.json").read_text())
    number = next(_numbers)
    home = FaultHome(path / f"lake house {number}", f"lake-{number}", like)
    for name, value in home.exports.items():
        monkeypatch.setenv(name, value)
    store = store_of(home)
    store.create_dir(home.bucket)
    settings = Settings()
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    made = Lakehouse(home, session_of(spark, home), settings, admin, store)
    made.create_topics()
    return made


@pytest.fixture
def lakehouse(new_lakehouse: Callable[[], Lakehouse]) -> Lakehouse:
    return new_lakehouse()
