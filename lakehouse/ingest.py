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

from lakehouse.accepted import accepted_gaps, accepted_topics
from lakehouse.bookmarks import Bookmark, Frontier, first_offsets, read_bookmark
from lakehouse.contracts import CONTRACTS, Contract
from lakehouse.decode import decode
from lakehouse.errors import LakehouseError
from lakehouse.extent import Extent
from lakehouse.generations import in_kafka, recorded, with_recorded_partitions
from lakehouse.kafka import Topic, publish_frontier, read_topics, source_options
from lakehouse.lock import writer_locks
from lakehouse.preflight import Plan, accept, plan
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
    spark: SparkSession,
    settings: Settings,
    accept_gap: str | None = None,
    accept_new_topic: str | None = None,
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
            retries(_attempt, spark, settings, reports, accept_gap, accept_new_topic, check_locks)
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
    accept_new_topic: str | None,
    check_locks: Callable[[], None],
) -> None:
    """From where the tables end by now, so that it does not matter how an earlier one ended."""
    check_locks()
    create_missing(spark)
    topics = read_topics(settings, [report.topic for report in reports])
    plans = [
        _plan(spark, contract, topic) for contract, topic in zip(CONTRACTS, topics, strict=True)
    ]
    accept(spark, plans, accept_gap, accept_new_topic)
    runs = [
        _Run(spark, settings, contract, plan, check_locks, report)
        for contract, plan, report in zip(CONTRACTS, plans, reports, strict=True)
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


def _plan(spark: SparkSession, contract: Contract, topic: Topic) -> Plan:
    bookmarks = _bookmarks(spark, contract)
    gaps, topics = accepted_gaps(spark, topic.name), accepted_topics(spark, topic.name)
    raw, *others = bookmarks
    known = bookmarks[raw].frontier.keys()
    # Asks for a query, and only where a run was interrupted or a table was lost.
    is_unknown = any(known - bookmarks[table].frontier.keys() for table in others)
    first_in_raw = first_offsets(spark, raw, topic.name) if is_unknown else {}
    return plan(topic, bookmarks, gaps, topics, first_in_raw)


def _bookmarks(spark: SparkSession, contract: Contract) -> dict[Table, Bookmark]:
    return {table: read_bookmark(spark, table, contract.topic) for table in tables_of(contract)}


class _Run:
    """One topic's query, from where its tables end to the end of what the topic holds now."""

    def __init__(
        self,
        spark: SparkSession,
        settings: Settings,
        contract: Contract,
        plan: Plan,
        check_locks: Callable[[], None],
        report: TopicReport,
    ):
        self._spark = spark
        self._settings = settings
        self._contract = contract
        self._plan = plan
        self._check_locks = check_locks
        self._limits = DeadLetterLimits(
            contract.topic, settings.dead_letter_warn, settings.dead_letter_stop
        )
        self._writer = Writer(
            contract,
            plan.topic.origin,
            self._check,
            settings.dead_letter_value_limit,
            timedelta(days=settings.duplicate_horizon_days),
        )
        self._query: StreamingQuery | None = None
        self._report = report
        self.failure: Exception | None = None

    def start(self) -> None:
        topic = self._plan.topic
        begin = {in_kafka(partition): offset for partition, offset in self._plan.offsets.items()}
        records = (
            self._spark.readStream.format("kafka")
            .options(**source_options(self._settings))
            .option("subscribe", topic.name)
            .option("startingOffsets", json.dumps({topic.name: begin}))
            .option("maxOffsetsPerTrigger", MESSAGES_PER_BATCH)
            .option("includeHeaders", "true")
            # By default 10 ms, which a broker that starts again outlasts.
            .option("fetchOffset.retryIntervalMs", RETRY_MILLISECONDS)
            .option("kafkaConsumer.pollTimeoutMs", POLL_MILLISECONDS)
            .load()
            .transform(with_recorded_partitions, topic.generation)
        )
        self._query = (
            records.transform(decode, self._contract)
            .writeStream.foreachBatch(self._write)
            .queryName(topic.name)
            .trigger(availableNow=True)
            .start()
        )

    def finish(self) -> None:
        if self._query:
            self._query.awaitTermination()
        self._check_topic()
        self._check_locks()
        self._writer.reach(self._spark, self._ends())
        ends = [each.frontier for each in _bookmarks(self._spark, self._contract).values()]
        publish_frontier(
            self._settings,
            self._contract.topic,
            {p: min(end.get(p, 0) for end in ends) for p in self._plan.offsets},
        )

    def _ends(self) -> Frontier:
        """Before which nothing is left to take in: past the last row, where no message follows."""
        ends = {gap.partition: gap.end for gap in self._plan.gaps}
        progress = self._query and self._query.lastProgress
        if progress:
            (source,) = json.loads(progress.json)["sources"]
            read = source["endOffset"][self._contract.topic]
            generation = self._plan.topic.generation
            ends |= {recorded(int(p), generation): end for p, end in read.items()}
        return ends

    def stop(self) -> None:
        if self._query:
            self._query.stop()

    def _check(self, batch: Extent) -> None:
        self._limits.check(batch)
        self._check_topic()
        self._check_locks()

    def _check_topic(self) -> None:
        """What was read is of the topic that was planned for: Spark reads on in a new one."""
        (now,) = read_topics(self._settings, [self._contract.topic])
        if now.origin != self._plan.topic.origin:
            raise LakehouseError(
                f"The topic {now.name} was deleted and made anew while it was read",
                "What was read last was not committed. Run this again: it says how to go on",
            )

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
