"""Kafka -> raw.*, staging.stg_*, ops.duplicates, ops.dead_letters, in bounded micro-batches."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from lakehouse.contracts import CONTRACTS, Contract
from lakehouse.errors import LakehouseError
from lakehouse.ingest.acceptance import NOTHING, Acceptance, NamedGap, NamedTopic
from lakehouse.ingest.dead_letter_limits import DeadLetterLimits
from lakehouse.ingest.results import Extent
from lakehouse.ingest.starting_offsets import Plan, accept, named_gap, plan
from lakehouse.ingest.writer import Writer, Written
from lakehouse.kafka.client import client_options, source_options
from lakehouse.kafka.consumer_group import publish_frontier
from lakehouse.kafka.generations import in_kafka, recorded
from lakehouse.kafka.last_message import changed_messages
from lakehouse.kafka.offsets import Frontier, Range
from lakehouse.kafka.open_transactions import Waiting, find_waiting
from lakehouse.kafka.topics import Topic, read_topics
from lakehouse.locks.writer_lock import writer_locks
from lakehouse.remedies import remedy
from lakehouse.retry import cause, is_transient, retrying
from lakehouse.settings import Settings
from lakehouse.tables.accepted import accepted_gaps, accepted_topics
from lakehouse.tables.bookmarks import first_offsets, read_bookmark
from lakehouse.tables.create import create_missing
from lakehouse.tables.definitions import tables_of

MESSAGES_PER_BATCH = 2**22
RETRY_MILLISECONDS = 1000

log = logging.getLogger("lakehouse.ingest")


@dataclass
class TopicReport:
    """What a run did with one topic, batch by batch."""

    topic: str
    batches: list[Written] = field(default_factory=list)
    # How often the run was begun again after a failure.
    retries: int = 0
    # What is not read until a transaction ends.
    waiting: list[Waiting] = field(default_factory=list)

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
    acceptance: Acceptance = NOTHING,
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
            retries(_attempt, spark, settings, reports, acceptance, check_locks)
        except LakehouseError:
            raise
        except Exception as error:
            if not isinstance(error, PySparkException | Py4JError):
                # A mistake of ours, whose trace is short and says where.
                log.error("the ingest stopped", exc_info=error)
            raise LakehouseError(
                f"The ingest stopped: {cause(error)}",
                f"Nothing is lost or doubled: {remedy(error)} and run the same command again",
            ) from error
    return reports


def _attempt(
    spark: SparkSession,
    settings: Settings,
    reports: list[TopicReport],
    acceptance: Acceptance,
    check_locks: Callable[[], None],
) -> None:
    """From where the tables end by now, so that it does not matter how an earlier one ended."""
    check_locks()
    create_missing(spark)
    topics = read_topics(settings, [report.topic for report in reports])
    plans = [
        _plan(spark, settings, contract, topic)
        for contract, topic in zip(CONTRACTS, topics, strict=True)
    ]
    accept(spark, plans, acceptance, *_accepted_before(spark, acceptance))
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


def _plan(spark: SparkSession, settings: Settings, contract: Contract, topic: Topic) -> Plan:
    bookmarks = {
        table: read_bookmark(spark, table, contract.topic) for table in tables_of(contract)
    }
    gaps, topics = accepted_gaps(spark, topic.name), accepted_topics(spark, topic.name)
    raw, *others = bookmarks
    known = bookmarks[raw].frontier.keys()
    # Asks for a query, and only where a run was interrupted or a table was lost.
    is_unknown = any(known - bookmarks[table].frontier.keys() for table in others)
    first_in_raw = first_offsets(spark, raw, topic.name) if is_unknown else {}
    generation = topics[-1].generation if topics else 0
    changed = changed_messages(settings, topic, bookmarks[raw].last_messages, generation)
    return plan(topic, bookmarks, gaps, topics, first_in_raw, changed)


def _accepted_before(
    spark: SparkSession, acceptance: Acceptance
) -> tuple[list[NamedGap], list[NamedTopic]]:
    """Gaps and topics on record, of those topics that the acceptance names."""
    gaps = [
        named_gap(name, gap)
        for name in {each.topic for each in acceptance.gaps}
        for gap in accepted_gaps(spark, name)
    ]
    topics = [
        NamedTopic(name, each.generation, each.topic_id)
        for name in {each.topic for each in acceptance.topics}
        for each in accepted_topics(spark, name)
    ]
    return gaps, topics


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
            spark,
            contract,
            plan.topic.origin,
            client_options(settings),
            self._check,
            settings.dead_letter_value_limit,
            timedelta(days=settings.duplicate_horizon_days),
            plan.frontiers,
            plan.last_messages,
        )
        self._reached = plan.offsets
        self._checkpoint = TemporaryDirectory(prefix="ingest-", ignore_cleanup_errors=True)
        self._query: StreamingQuery | None = None
        self._report = report
        self.failure: Exception | None = None

    def start(self) -> None:
        """Spark plans the batches; the messages are read by the tasks that write them."""
        topic = self._plan.topic
        if all(topic.latest[p] <= offset for p, offset in self._plan.offsets.items()):
            return
        begin = {in_kafka(partition): offset for partition, offset in self._plan.offsets.items()}
        self._query = (
            self._spark.readStream.format("kafka")
            .options(**source_options(self._settings))
            .option("subscribe", topic.name)
            .option("startingOffsets", json.dumps({topic.name: begin}))
            .option("maxOffsetsPerTrigger", MESSAGES_PER_BATCH)
            # By default 10 ms, which a broker that starts again outlasts.
            .option("fetchOffset.retryIntervalMs", RETRY_MILLISECONDS)
            .load()
            .writeStream.foreachBatch(self._write)
            .queryName(topic.name)
            # A URI would have %20 for a blank, and Spark a folder of that name.
            .option("checkpointLocation", f"file:{self._checkpoint.name}")
            .trigger(availableNow=True)
            .start()
        )

    def finish(self) -> None:
        if self._query:
            self._query.awaitTermination()
        self._check_topic()
        self._check_locks()
        # Where no message follows a gap, no batch has moved the bookmarks past it.
        self._writer.reach({gap.partition: gap.end for gap in self._plan.gaps})
        ends = self._writer.frontier
        publish_frontier(
            self._settings, self._contract.topic, {p: ends.get(p, 0) for p in self._plan.offsets}
        )
        self._report.waiting = find_waiting(self._settings, self._contract.topic)

    def stop(self) -> None:
        if self._query:
            self._query.stop()
        self._checkpoint.cleanup()

    def _check(self, batch: Extent) -> None:
        self._limits.check(batch)
        self._check_topic()
        self._check_locks()

    def _check_topic(self) -> None:
        """What was read is of the topic that was planned for: Spark reads on in a new one."""
        (now,) = read_topics(self._settings, [self._contract.topic])
        if not now.origin.may_be(self._plan.topic.origin):
            raise LakehouseError(
                f"The topic {now.name} was deleted and made anew while it was read",
                "What was read last was not committed. Run this again: it says how to go on",
            )

    def _write(self, _messages: DataFrame, batch_id: int) -> None:
        """Commit what Spark has planned, in one batch or, if it is too many bytes, in several."""
        planned = self._ends(batch_id)
        try:
            while ranges := self._left(planned):
                started = time.monotonic()
                written, ends = self._writer.write(ranges)
                self._reached = self._reached | ends
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
        except Exception as error:
            self.failure = error
            raise

    def _left(self, planned: Frontier) -> list[Range]:
        """What is not committed yet of what is planned."""
        return [
            Range(partition, self._reached.get(partition, 0), end)
            for partition, end in planned.items()
            if end > self._reached.get(partition, 0)
        ]

    def _ends(self, batch_id: int) -> Frontier:
        """As planned by Spark, which notes it in the checkpoint before the batch begins."""
        planned = Path(self._checkpoint.name, "offsets", str(batch_id)).read_text()
        offsets = json.loads(planned.splitlines()[-1])[self._contract.topic]
        generation = self._plan.topic.generation
        return {recorded(int(p), generation): end for p, end in offsets.items()}
