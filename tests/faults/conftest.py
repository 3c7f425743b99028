"""A lakehouse for each test that may be broken: its own topics, bucket and catalog."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import broker
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from pyarrow import fs
from pyspark.sql import SparkSession
from tenacity import Retrying, stop_after_delay, wait_fixed

from lakehouse.audit import Audit, audit
from lakehouse.contracts import CONTRACTS
from lakehouse.ingest import TopicReport, ingest
from lakehouse.settings import Settings
from lakehouse.stack import processes
from lakehouse.stack.home import REGION, REPOSITORY, Home, StackSettings
from lakehouse.stack.services import Kafka, ObjectStore
from lakehouse.tables import TABLES, current_snapshot

PARTITIONS = 2
LEASE_SECONDS = 1
_numbers = count(1)


class FaultHome(Home):
    """Of a lakehouse that shares broker and store with others; its bucket is its own."""

    def __init__(self, path: Path, bucket: str, like: dict):
        path.mkdir(parents=True)
        (path / "stack.json").write_text(json.dumps(like))
        self.bucket = bucket
        super().__init__(StackSettings(home=path))

    @property
    def exports(self) -> dict[str, str]:
        return super().exports | {
            "ICEBERG_WAREHOUSE": f"s3://{self.bucket}/warehouse",
            # So that the lock of a killed writer is soon taken over.
            "WRITER_LEASE_SECONDS": str(LEASE_SECONDS),
        }


@dataclass(frozen=True)
class Lakehouse:
    home: FaultHome
    spark: SparkSession
    settings: Settings
    admin: AdminClient

    def create_topics(self, partitions: int = PARTITIONS, **config: str) -> None:
        for contract in CONTRACTS:
            self.create_topic(contract.topic, partitions, **config)

    def create_topic(self, name: str, partitions: int = PARTITIONS, **config: str) -> None:
        """Anew: one that is there is deleted before."""
        if name in self.admin.list_topics(timeout=10).topics:
            self.admin.delete_topics([name])[name].result(10)
        self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(10)
        # The broker answers before its own metadata has the topic.
        for attempt in Retrying(stop=stop_after_delay(10), wait=wait_fixed(0.1), reraise=True):
            with attempt:
                assert name in self.admin.list_topics(timeout=10).topics

    def produce(self, *values: str, **options) -> None:
        broker.produce(self.settings, *values, **options)

    def ingest(self, **options) -> list[TopicReport]:
        return ingest(self.spark, self.settings, **options)

    def audit(self, **options) -> Audit:
        """Of all offsets."""
        return audit(self.spark, self.settings, is_full=True, **options)

    def count(self, table: str, condition: str = "true") -> int:
        return self.spark.table(f"lake.{table}").where(condition).count()

    def snapshots(self) -> dict[str, int | None]:
        """What must be equal where nothing was changed."""
        return {table.name: current_snapshot(self.spark, table) for table in TABLES}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A job in a process, and process group, of its own; output goes to one pipe."""
        return subprocess.Popen(
            ["spark-submit", *words],
            cwd=REPOSITORY,
            env=self.home.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, exit_code: int = 0) -> str:
        """What a job prints; it must exit so."""
        with self.start(*words) as job:
            printed, _ = job.communicate(timeout=180)
        assert job.returncode == exit_code, printed
        return printed


def _free_ports(names: list[str]) -> dict[str, int]:
    probes = [socket.socket() for _ in names]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return {name: probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)}
    finally:
        for probe in probes:
            probe.close()


@pytest.fixture(scope="session")
def services(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultHome]:
    """A broker and a store that may be ended and started again."""
    # Spark's JVM has its credentials from the environment, once.
    like = {"ports": _free_ports(list(home.ports)), "secret": os.environ["AWS_SECRET_ACCESS_KEY"]}
    served = FaultHome(tmp_path_factory.mktemp("faults") / "services", "none", like)
    try:
        for service in (Kafka(served), ObjectStore(served)):
            processes.start(service, print)
        yield served
    finally:
        processes.down(served, print)


@pytest.fixture
def lakehouse(
    spark: SparkSession, services: FaultHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Lakehouse:
    """Empty, with its topics."""
    like = json.loads((services.path / "stack.json").read_text())
    home = FaultHome(tmp_path / "lake house", f"lake-{next(_numbers)}", like)
    for name, value in home.exports.items():
        monkeypatch.setenv(name, value)
    fs.S3FileSystem(
        access_key=home.exports["AWS_ACCESS_KEY_ID"],
        secret_key=home.exports["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=home.exports["S3_ENDPOINT"],
        region=REGION,
        allow_bucket_creation=True,
    ).create_dir(home.bucket)
    settings = Settings()
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    made = Lakehouse(home, session_of(spark, home), settings, admin)
    made.create_topics()
    return made


def session_of(spark: SparkSession, home: Home, **other: str) -> SparkSession:
    """In the same JVM, with the catalog of this home; `other` are settings of the catalog."""
    home.write_spark_conf()
    session = spark.newSession()
    prefix = "spark.sql.catalog.lake."
    for line in (home.path / "conf" / "spark-defaults.conf").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name.startswith(prefix):
            session.conf.set(name, value.strip())
    for name, value in other.items():
        session.conf.set(prefix + name.replace("_", "-"), value)
    return session
