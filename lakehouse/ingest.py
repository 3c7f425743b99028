"""Kafka -> staging.stg_*, ops.dead_letters, in bounded micro-batches."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.streaming import StreamingQuery

from lakehouse.contracts import CONTRACTS, Contract
from lakehouse.decode import decoded_schema, decoder
from lakehouse.errors import LakehouseError
from lakehouse.job import first_line
from lakehouse.settings import Settings
from lakehouse.tables import create_missing
from lakehouse.write import Written, write_batch

MESSAGES_PER_BATCH = 500_000
KAFKA_TIMEOUT_SECONDS = 10

log = logging.getLogger("lakehouse.ingest")


@dataclass
class TopicReport:
    """What a run did with one topic."""

    topic: str
    batches: list[Written] = field(default_factory=list)

    @property
    def read(self) -> int:
        return sum(batch.read for batch in self.batches)

    @property
    def staged(self) -> int:
        return sum(batch.staged for batch in self.batches)

    @property
    def dead(self) -> int:
        return sum(batch.dead for batch in self.batches)


def ingest(spark: SparkSession, settings: Settings) -> list[TopicReport]:
    """Take in everything that both topics hold now, and stop."""
    check_topics(settings)
    create_missing(spark)
    reports = [TopicReport(contract.topic) for contract in CONTRACTS]
    queries: list[StreamingQuery] = []
    try:
        for contract, report in zip(CONTRACTS, reports, strict=True):
            queries.append(_start(spark, settings, contract, report))
        for query in queries:
            query.awaitTermination()
    except StreamingQueryException as error:
        raise _explained(error) from error
    finally:
        for query in queries:
            query.stop()
    return reports


def check_topics(settings: Settings) -> None:
    """Fail early, and in one line, where Spark would retry for minutes."""
    servers = settings.kafka_bootstrap_servers
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0}, logger=log)
    try:
        existing = admin.list_topics(timeout=KAFKA_TIMEOUT_SECONDS).topics
    except KafkaException as error:
        raise LakehouseError(
            f"No Kafka broker answers at {servers} ({error.args[0].str()})",
            "Start the local stack with `make up` or correct KAFKA_BOOTSTRAP_SERVERS",
        ) from None
    missing = [contract.topic for contract in CONTRACTS if contract.topic not in existing]
    if missing:
        raise LakehouseError(
            f"The broker at {servers} has no topic {' and no topic '.join(missing)}",
            "Create them, for example with `python -m generator --events 1000`",
        )


def _start(
    spark: SparkSession, settings: Settings, contract: Contract, report: TopicReport
) -> StreamingQuery:
    records = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_bootstrap_servers)
        .option("subscribe", contract.topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", MESSAGES_PER_BATCH)
        .option("includeHeaders", "true")
        .load()
    )
    return (
        records.mapInArrow(decoder(contract), from_arrow_schema(decoded_schema(contract)))
        .writeStream.foreachBatch(_writer(spark, contract, report))
        .option("checkpointLocation", f"{settings.checkpoint_location}/{contract.topic}")
        .queryName(contract.topic)
        .trigger(availableNow=True)
        .start()
    )


def _writer(
    spark: SparkSession, contract: Contract, report: TopicReport
) -> Callable[[DataFrame, int], None]:
    def write(decoded: DataFrame, batch_id: int) -> None:
        started = time.monotonic()
        written = write_batch(spark, contract, decoded)
        report.batches.append(written)
        log.info(
            "batch committed",
            extra={
                "topic": contract.topic,
                "batch": batch_id,
                "read": written.read,
                "staged": written.staged,
                "dead": written.dead,
                "seconds": round(time.monotonic() - started, 2),
            },
        )

    return write


def _explained(error: StreamingQueryException) -> LakehouseError:
    log.error("query failed", exc_info=error)
    return LakehouseError(
        f"The ingest stopped: {first_line(error)}",
        "Nothing is lost or doubled: resolve the cause and run the same command again",
    )
