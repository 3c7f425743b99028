"""Kafka -> raw.*, staging.stg_*, ops.duplicates, ops.dead_letters, in bounded micro-batches."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from lakehouse.bookmarks import Bookmark, read_bookmark
from lakehouse.contracts import CONTRACTS, Contract
from lakehouse.decode import decode
from lakehouse.errors import LakehouseError
from lakehouse.extent import Extent
from lakehouse.kafka import Topic, publish_frontier, read_topics
from lakehouse.lock import writer_locks
from lakehouse.preflight import accept, accepted_gaps, plan
from lakehouse.retry import cause, is_transient, retrying
from lakehouse.settings import Settings
from lakehouse.tables import Table, create_missing, tables_of
from lakehouse.thresholds import DeadLetterLimits
from lakehouse.write import Writer, Written

MESSAGES_PER_BATCH = 500_000
RETRY_MILLISECONDS = 1000
# By default 120 s; a task has four tries, which wait as long together.
POLL_MILLISECONDS = 30_000

log = logging.getLogger("lakehouse.ingest")


@dataclass
class TopicReport:
    """What a run did with one topic, batch by batch."""

    topic: str
    batches: list[Written] = field(default_factory=list)
    # How often the run was begun again after a failure.
    retries: int = 0

    @property
    def total(self) -> Written:
        return Written(
            read=sum(batch.read for batch in self.batches),
            staged=sum(batch.staged for batch in self.batches),
            duplicate=sum(batch.duplicate for batch in self.batches),
            dead=sum(batch.dead for batch in self.batches),
            appended_again=sum(batch.appended_again for batch in self.batches),
        )


def ingest(
    spark: SparkSession, settings: Settings, accept_gap: str | None = None
) -> list[TopicReport]:
    """Take in everything that both topics hold now, and stop.

    Each run begins where the tables end. Spark's checkpoint lives as long as the run: there is
    none that could be lost, grow old or disagree with the tables.
    """
    names = [contract.topic for contract in CONTRACTS]
    reports = [TopicReport(name) for name in names]

    def count_retry() -> None:
        for report in reports:
            report.retries += 1

    def achieved() -> int:
        return sum(report.total.read - report.total.seen for report in reports)

    retries = retrying(settings.retry_seconds, achieved, count_retry)
    # Before anything is retried: a broker that never answered is most likely a wrong address.
    read_topics(settings, names)
    with writer_locks(spark, names, settings.writer_lease_seconds) as check_locks:
        try:
            retries(_attempt, spark, settings, reports, accept_gap, check_locks)
        except LakehouseError:
            raise
        except Exception as error:
            if not isinstance(error, PySparkException | Py4JError):
                # A mistake of ours, whose trace is short and says where.
                log.error("the ingest stopped", exc_info=error)
            raise LakehouseError(
                f"The ingest stopped: {cause(error)}",
                "Nothing is lost or doubled: resolve the cause and run the same command again",
            ) from error
    return reports


def _attempt(
    spark: SparkSession,
    settings: Settings,
    reports: list[TopicReport],
    accept_gap: str | None,
    check_locks: Callable[[], None],
) -> None:
    """From where the tables end by now, so that it does not matter how an earlier one ended."""
    check_locks()
    create_missing(spark)
    topics = read_topics(settings, [report.topic for report in reports])
    runs = [
        _Run(spark, settings, contract, topic, accept_gap, check_locks, report)
        for contract, topic, report in zip(CONTRACTS, topics, reports, strict=True)
    ]
    try:
        for run in runs:
            run.start()
        for run in runs:
            run.finish()
    except StreamingQueryException as error:
        # What was raised in Python tells more, and one that would fail again most.
        failures = [run.failure for run in runs if run.failure]
        raise min(failures, key=is_transient, default=error) from error
    finally:
        for run in runs:
            run.stop()


class _Run:
    """One topic's query, from where its tables end to the end of what the topic holds now."""

    def __init__(
        self,
        spark: SparkSession,
        settings: Settings,
        contract: Contract,
        topic: Topic,
        accept_gap: str | None,
        check_locks: Callable[[], None],
        report: TopicReport,
    ):
        self._spark = spark
        self._settings = settings
        self._contract = contract
        self._check_locks = check_locks
        self._limits = DeadLetterLimits(
            contract.topic, settings.dead_letter_warn, settings.dead_letter_stop
        )
        self._writer = Writer(
            contract,
            topic.origin,
            self._check,
            settings.dead_letter_value_limit,
            timedelta(days=settings.duplicate_horizon_days),
        )
        self._offsets, gaps = plan(topic, self._bookmarks(), accepted_gaps(spark, topic.name))
        if gaps:
            accept(spark, topic.name, gaps, accept_gap)
        self._query: StreamingQuery | None = None
        self._report = report
        self.failure: Exception | None = None

    def _bookmarks(self) -> dict[Table, Bookmark]:
        topic = self._contract.topic
        return {t: read_bookmark(self._spark, t, topic) for t in tables_of(self._contract)}

    def start(self) -> None:
        topic = self._contract.topic
        records = (
            self._spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", self._settings.kafka_bootstrap_servers)
            .option("subscribe", topic)
            .option("startingOffsets", json.dumps({topic: self._offsets}))
            .option("maxOffsetsPerTrigger", MESSAGES_PER_BATCH)
            .option("includeHeaders", "true")
            # By default 10 ms, which a broker that starts again outlasts.
            .option("fetchOffset.retryIntervalMs", RETRY_MILLISECONDS)
            .option("kafkaConsumer.pollTimeoutMs", POLL_MILLISECONDS)
            .load()
        )
        self._query = (
            records.transform(decode, self._contract)
            .writeStream.foreachBatch(self._write)
            .queryName(topic)
            .trigger(availableNow=True)
            .start()
        )

    def finish(self) -> None:
        if self._query:
            self._query.awaitTermination()
        ends = [bookmark.frontier for bookmark in self._bookmarks().values()]
        publish_frontier(
            self._settings,
            self._contract.topic,
            {p: min(end.get(p, 0) for end in ends) for p in self._offsets},
        )

    def stop(self) -> None:
        if self._query:
            self._query.stop()

    def _check(self, batch: Extent) -> None:
        self._limits.check(batch)
        self._check_locks()

    def _write(self, decoded: DataFrame, batch_id: int) -> None:
        started = time.monotonic()
        try:
            written = self._writer.write(decoded)
        except Exception as error:
            self.failure = error
            raise
        self._report.batches.append(written)
        log.info(
            "batch committed",
            extra={
                "topic": self._contract.topic,
                "batch": batch_id,
                **asdict(written),
                "seconds": round(time.monotonic() - started, 2),
            },
        )
