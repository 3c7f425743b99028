"""Kafka -> raw.*, staging.stg_*, ops.dead_letters, in bounded micro-batches."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from lakehouse.contracts import CONTRACTS, Contract
from lakehouse.decode import decode
from lakehouse.errors import LakehouseError
from lakehouse.job import first_line
from lakehouse.lock import writer_locks
from lakehouse.settings import Settings
from lakehouse.tables import create_missing
from lakehouse.thresholds import DeadLetterLimits
from lakehouse.write import Extent, Written, write_batch

MESSAGES_PER_BATCH = 500_000
KAFKA_TIMEOUT_SECONDS = 10
# Spark 4.1.1 fails while it reports on a replayed batch, after that batch was committed, because
# the source has not asked for the latest offsets yet (SPARK-57438).
PROGRESS_REPORT_FAILED = 'the return value of "scala.Option.get()" is null'

log = logging.getLogger("lakehouse.ingest")


@dataclass
class TopicReport:
    """What a run did with one topic, batch by batch."""

    topic: str
    batches: list[Written] = field(default_factory=list)

    @property
    def total(self) -> Written:
        return Written(
            read=sum(batch.read for batch in self.batches),
            staged=sum(batch.staged for batch in self.batches),
            dead=sum(batch.dead for batch in self.batches),
        )


def ingest(spark: SparkSession, settings: Settings) -> list[TopicReport]:
    """Take in everything that both topics hold now, and stop."""
    check_topics(settings)
    topics = [contract.topic for contract in CONTRACTS]
    with writer_locks(spark, topics, settings.writer_lease_seconds) as check_locks:
        return _ingest(spark, settings, check_locks)


def _ingest(
    spark: SparkSession, settings: Settings, check_locks: Callable[[], None]
) -> list[TopicReport]:
    create_missing(spark)
    runs: list[_Run] = []
    try:
        for contract in CONTRACTS:
            runs.append(_Run(spark, settings, contract, check_locks))
        for run in runs:
            run.finish()
    except StreamingQueryException as error:
        if refusal := next((run.refusal for run in runs if run.refusal), None):
            raise refusal from None
        log.error("query failed", exc_info=error)
        raise LakehouseError(
            f"The ingest stopped: {first_line(error)}",
            "Nothing is lost or doubled: resolve the cause and run the same command again",
        ) from error
    finally:
        for run in runs:
            run.stop()
    return [run.report for run in runs]


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


class _Run:
    """One topic's query, from start to the end of what the topic holds now."""

    def __init__(
        self,
        spark: SparkSession,
        settings: Settings,
        contract: Contract,
        check_locks: Callable[[], None],
    ):
        self._spark = spark
        self._settings = settings
        self._contract = contract
        self._check_locks = check_locks
        self._limits = DeadLetterLimits(
            contract.topic, settings.dead_letter_warn, settings.dead_letter_stop
        )
        self.report = TopicReport(contract.topic)
        self.refusal: LakehouseError | None = None
        self._query = self._start()

    def _start(self) -> StreamingQuery:
        records = (
            self._spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", self._settings.kafka_bootstrap_servers)
            .option("subscribe", self._contract.topic)
            .option("startingOffsets", "earliest")
            .option("maxOffsetsPerTrigger", MESSAGES_PER_BATCH)
            .option("includeHeaders", "true")
            .load()
        )
        checkpoint = f"{self._settings.checkpoint_location}/{self._contract.topic}"
        return (
            records.transform(decode, self._contract)
            .writeStream.foreachBatch(self._write)
            .option("checkpointLocation", checkpoint)
            .queryName(self._contract.topic)
            .trigger(availableNow=True)
            .start()
        )

    def finish(self) -> None:
        try:
            self._query.awaitTermination()
        except StreamingQueryException as error:
            if PROGRESS_REPORT_FAILED not in str(error):
                raise
            log.warning("replayed a batch that was interrupted; going on after it")
            self._query = self._start()
            self._query.awaitTermination()

    def stop(self) -> None:
        self._query.stop()

    def _check(self, batch: Extent) -> None:
        try:
            self._limits.check(batch)
            self._check_locks()
        except LakehouseError as error:
            self.refusal = error
            raise

    def _write(self, decoded: DataFrame, batch_id: int) -> None:
        started = time.monotonic()
        written = write_batch(
            self._contract, decoded, self._check, self._settings.dead_letter_value_limit
        )
        self.report.batches.append(written)
        log.info(
            "batch committed",
            extra={
                "topic": self._contract.topic,
                "batch": batch_id,
                **asdict(written),
                "seconds": round(time.monotonic() - started, 2),
            },
        )
