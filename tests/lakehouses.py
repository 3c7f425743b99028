"""A lakehouse that may be broken: its own topics, bucket and catalog, on shared services."""

import json
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import broker
import psutil
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
)
from pyarrow import fs
from pyspark.sql import SparkSession
from tenacity import Retrying, retry_if_exception_message, stop_after_delay, wait_fixed

from lakehouse.audit.run import Audit, audit
from lakehouse.contracts import CONTRACTS
from lakehouse.iceberg.catalog import current_snapshot
from lakehouse.iceberg.table import CATALOG
from lakehouse.ingest.results import TopicReport
from lakehouse.ingest.run import ingest
from lakehouse.kafka.topics import read_topics
from lakehouse.settings import Settings
from lakehouse.stack.home import REGION, REPOSITORY, Home, StackSettings
from lakehouse.tables.create import create_missing
from lakehouse.tables.definitions import TABLES

PARTITIONS = 2
_PREFIX = f"spark.sql.catalog.{CATALOG}."
# Of jobs that may be killed: their locks are soon taken over.
LEASE_SECONDS = 2


class FaultHome(Home):
    """Home of a lakehouse that shares broker and store with others; its bucket is its own."""

    def __init__(self, path: Path, bucket: str, like: dict):
        path.mkdir(parents=True)
        (path / "stack.json").write_text(json.dumps(like))
        self.bucket = bucket
        super().__init__(StackSettings(home=path))

    @property
    def exports(self) -> dict[str, str]:
        return super().exports | {"ICEBERG_WAREHOUSE": f"s3://{self.bucket}/warehouse"}


def _soon() -> Retrying:
    return Retrying(stop=stop_after_delay(20), wait=wait_fixed(0.02), reraise=True)


@dataclass(frozen=True)
class Lakehouse:
    home: FaultHome
    spark: SparkSession
    settings: Settings
    admin: AdminClient
    store: fs.S3FileSystem

    def create_topics(self, partitions: int = PARTITIONS, **config: str) -> None:
        for contract in CONTRACTS:
            self.create_topic(contract.topic, partitions, **config)

    def create_topic(self, name: str, partitions: int = PARTITIONS, **config: str) -> None:
        """Anew: one that is there is deleted before."""
        if name in self.admin.list_topics(timeout=10).topics:
            self.admin.delete_topics([name])[name].result(10)
            # A broker is told of it some time after its controller has answered.
            for attempt in _soon():
                with attempt:
                    assert name not in self.admin.list_topics(timeout=10).topics
        self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(10)
        for attempt in _soon():
            with attempt:
                read_topics(self.settings, [name])

    def configure(self, topic: str, **config: str) -> None:
        """Change settings of a topic."""
        change = ConfigResource(ConfigResource.Type.TOPIC, topic)
        for name, value in config.items():
            change.add_incremental_config(
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            )
        self.admin.incremental_alter_configs([change])[change].result(10)

    def produce(self, *values: str, **options) -> None:
        broker.produce(self.settings, *values, **options)

    def ingest(self, **options) -> dict[str, TopicReport]:
        return ingest(self.spark, self.settings, **options)

    def create_tables(self) -> None:
        create_missing(self.spark)

    def ingest_when_free(self) -> dict[str, TopicReport]:
        """Ingest as soon as the lock of a writer that is gone can be taken over."""
        for attempt in Retrying(
            retry=retry_if_exception_message(match=".*has another writer"),
            stop=stop_after_delay(10),
            wait=wait_fixed(0.2),
            reraise=True,
        ):
            with attempt:
                return self.ingest()
        raise AssertionError

    def audit(self, **options) -> Audit:
        """Audit all offsets."""
        return audit(self.spark, self.settings, is_full=True, **options)

    def count(self, table: str, condition: str = "true") -> int:
        return self.spark.table(f"lake.{table}").where(condition).count()

    def snapshots(self) -> dict[str, int | None]:
        """What must be equal where nothing was changed."""
        return {table.name: current_snapshot(self.spark, table) for table in TABLES}

    def start(self, *words: str) -> "Job":
        return Job(["spark-submit", *words], self.home)

    def run(self, *words: str, exit_code: int = 0) -> str:
        """What a job prints; it must exit so."""
        job = self.start(*words)
        job.wait(180)
        assert job.returncode == exit_code, job.printed
        return job.printed


class Job(subprocess.Popen):
    """A job in a process of its own; a pipe that nobody reads could hold it up."""

    started: ClassVar[list["Job"]] = []

    def __init__(self, words: list[str], home: Home):
        self._log = home.path / f"job-{time.monotonic_ns()}.log"
        with self._log.open("w") as log:
            super().__init__(
                words,
                cwd=REPOSITORY,
                env=home.environment | {"WRITER_LEASE_SECONDS": str(LEASE_SECONDS)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        self.started.append(self)

    @property
    def printed(self) -> str:
        return self._log.read_text()

    @classmethod
    def end_all(cls) -> None:
        """End jobs that a test left behind, because it was ended itself."""
        for job in cls.started:
            if job.poll() is None:
                for child in psutil.Process(job.pid).children(recursive=True):
                    child.kill()
                job.kill()
                job.wait()


def session_of(spark: SparkSession, home: Home) -> SparkSession:
    """Make a session with the catalog of this home."""
    home.write_spark_conf()
    lines = (home.path / "conf" / "spark-defaults.conf").read_text().splitlines()
    settings = {name: value.strip() for name, _, value in (line.partition(" ") for line in lines)}
    return new_session(
        spark,
        {n.removeprefix(_PREFIX): v for n, v in settings.items() if n.startswith(_PREFIX)},
    )


def new_session(spark: SparkSession, properties: dict[str, str]) -> SparkSession:
    """Make a session in the same JVM, with these properties of the catalog."""
    session = spark.newSession()
    for name, value in properties.items():
        session.conf.set(_PREFIX + name, value)
    # Loads the catalog: Iceberg's own API would, with the settings of the session that was last.
    session.sql("SHOW NAMESPACES")
    return session


def store_of(home: Home) -> fs.S3FileSystem:
    return fs.S3FileSystem(
        access_key=home.exports["AWS_ACCESS_KEY_ID"],
        secret_key=home.exports["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=home.exports["S3_ENDPOINT"],
        region=REGION,
        allow_bucket_creation=True,
    )


def free_ports(names: list[str]) -> dict[str, int]:
    probes = [socket.socket() for _ in names]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return {name: probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)}
    finally:
        for probe in probes:
            probe.close()
